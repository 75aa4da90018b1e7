//! Servers that die.

use super::Served;

/// The application's sessions are gone; its next C_OpenSession starts another server, and its keys are there.
#[test]
fn the_next_session_finds_another_server() {
    let served = Served::new();
    let mut application = served.driven(0);
    application.ok("open");
    let key = application.ok("generate 31");
    for _ in 0..3 {
        assert_eq!(served.kill_servers(), 1);
        let answer = application.says(&format!("sign {key}"));
        assert!(answer.starts_with("failed"), "{answer}");
        application.ok("open");
        assert_eq!(application.ok("find 31"), key);
        application.ok(&format!("sign {key}"));
    }
}

/// Under load: every call returns, those after it with an error, and all applications go on.
#[test]
fn applications_that_sign_survive_their_server() {
    let served = Served::new();
    let mut applications: Vec<_> = (0..3).map(|_| served.driven(0)).collect();
    let mut keys = Vec::new();
    for (number, application) in applications.iter_mut().enumerate() {
        application.ok("open");
        keys.push(application.ok(&format!("generate 4{number}")));
    }
    for _ in 0..2 {
        for (application, key) in applications.iter_mut().zip(&keys) {
            application.tell(&format!("sign-for 1500 {key}"));
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(served.kill_servers(), 1);
        for application in &mut applications {
            let answer = application.answer();
            let mut counts = answer
                .split(' ')
                .skip(1)
                .map(|count| count.parse::<u64>().unwrap());
            assert!(counts.next().unwrap() > 0, "none was signed: {answer}");
            assert!(counts.next().unwrap() > 0, "none failed: {answer}");
        }
        for (application, key) in applications.iter_mut().zip(&keys) {
            application.ok("open");
            application.ok(&format!("sign {key}"));
        }
    }
    assert_eq!(served.servers().len(), 1, "one server for all");
}
