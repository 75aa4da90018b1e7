//! `pkcs11-soak SECONDS` on the token of the environment (MODULE, TOKEN, PIN).

use std::process::ExitCode;
use std::time::Duration;

use pkcs11_programs::Module;
use pkcs11_programs::soak::{coordinator, worker};

fn main() -> Result<ExitCode, String> {
    let words: Vec<String> = std::env::args().collect();
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let module = Module::load(&variable("MODULE")?)?;
    let (label, pin) = (variable("TOKEN")?, variable("PIN")?);
    let good = match &words[1..] {
        [flag, number] if flag == "--worker" => {
            let number = number.parse().map_err(|_| "a number of a process")?;
            worker::run(module, &label, &pin, number, coordinator::threads())?;
            true
        }
        [seconds] => {
            let seconds = seconds.parse().map_err(|_| "a number of seconds")?;
            coordinator::run(module, &label, &pin, Duration::from_secs(seconds))?
        }
        _ => return Err("usage: pkcs11-soak SECONDS".into()),
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
