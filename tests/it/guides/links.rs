//! Links between the pages.

use super::*;

/// GitHub's name of a heading: small letters, no punctuation, dashes for blanks.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c })
        .collect::<String>()
        .to_lowercase()
}

fn anchors(page: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut found = BTreeSet::new();
    for line in page.lines() {
        in_block ^= line.starts_with("```");
        if !in_block && line.starts_with('#') {
            found.insert(anchor(line.trim_start_matches('#').trim()));
        }
    }
    found
}

/// The targets of the links of a page, code blocks and code aside.
fn links(page: &str) -> Vec<String> {
    let text: String = page.split("```").step_by(2).collect();
    let text: String = text.split('`').step_by(2).collect();
    let starts = text.match_indices("](").map(|(at, _)| &text[at + 2..]);
    starts
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root().join(page)));
    let (mut followed, mut wrong) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text)
            .into_iter()
            .filter(|link| !link.contains("://"))
        {
            followed += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.with_file_name(file),
            };
            let is_right = match heading {
                "" => target.exists(),
                heading => {
                    fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(heading))
                }
            };
            if !is_right {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(followed > 150, "only {followed} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every page is reached from README.md, and the glossary is in alphabetical order with each word once.
#[test]
fn every_page_is_listed_and_the_glossary_is_sorted() {
    let readme = read("README.md");
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            assert!(
                readme.contains(&format!("(docs/{name})")),
                "README.md does not list docs/{name}"
            );
        }
    }
    let glossary = read("docs/glossary.md");
    let words: Vec<String> = glossary
        .lines()
        .filter_map(|line| {
            Some(
                line.strip_prefix("- **")?
                    .split_once("**")?
                    .0
                    .to_lowercase(),
            )
        })
        .collect();
    assert!(words.len() > 40, "only {} words were found", words.len());
    for pair in words.windows(2) {
        assert!(
            pair[0] < pair[1],
            "{:?} stands before {:?}",
            pair[0],
            pair[1]
        );
    }
}
