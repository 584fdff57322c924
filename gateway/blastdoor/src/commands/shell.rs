//! `blastdoor completions` and `blastdoor man`

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap_mangen::Man;

use super::{Printer, fail};

/// The shells for which there are completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// Prints the script that completes this command line in a shell.
pub(crate) fn completions(mut command: clap::Command, shell: Shell) -> ExitCode {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let mut printer = Printer::default();
    printer.print(String::from_utf8_lossy(&script).trim_end());
    printer.finish(ExitCode::SUCCESS)
}

/// Prints the manual page of the program, or writes those of it and of all commands into a folder.
pub(crate) fn man(command: clap::Command, folder: Option<&Path>) -> ExitCode {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        if let Err(error) = Man::new(command).render(&mut page) {
            return fail(1, format!("cannot write the manual page: {error}"));
        }
        let mut printer = Printer::default();
        printer.print(String::from_utf8_lossy(&page).trim_end());
        return printer.finish(ExitCode::SUCCESS);
    };
    match write(command, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(
            1,
            format!("{}: cannot write manual pages: {error}", folder.display()),
        ),
    }
}

fn write(command: clap::Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}
