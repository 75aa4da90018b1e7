//! `wycheproof FOLDER`: every family of vectors through the token of the environment (MODULE, TOKEN, PIN). Fails on each
//! vector that is judged otherwise than it says, and with `--all` on a family that the token does not have.

use std::path::Path;
use std::process::ExitCode;

use pkcs11_programs::Module;
use pkcs11_programs::vectors::{FAMILIES, Run};

fn main() -> Result<ExitCode, String> {
    let all = std::env::args().any(|word| word == "--all");
    let folder = std::env::args()
        .nth(1)
        .ok_or("usage: wycheproof FOLDER [--all]")?;
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let module = Module::load(&variable("MODULE")?)?;
    let slot = module.slot(&variable("TOKEN")?)?;
    let session = module
        .open(slot)
        .map_err(|rv| format!("C_OpenSession: {rv:#x}"))?;
    session
        .login(&variable("PIN")?)
        .map_err(|rv| format!("C_Login: {rv:#x}"))?;
    let (mut wrong, mut missing, mut right) = (0, 0, 0);
    for (name, family) in FAMILIES {
        let mut run = Run::new(Path::new(&folder), module, slot, &session);
        family(&mut run);
        let judged = run.accepted + run.refused + run.either;
        println!(
            "{name}: {} accepted, {} refused, {} either way, {} wrong",
            run.accepted,
            run.refused,
            run.either,
            run.wrong.len()
        );
        for (why, count) in &run.skipped {
            println!("    {count} left out: {why}");
        }
        for line in run.wrong.iter().take(10) {
            println!("    WRONG {line}");
        }
        wrong += run.wrong.len();
        missing += usize::from(judged + run.wrong.len() == 0);
        right += judged;
    }
    println!("{right} passed, {wrong} failed; {missing} families are not there");
    let good = wrong == 0 && !(all && missing > 0);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
