//! The `blastdoor` program; everything it does is in the library, so that tests build the very same.
fn main() -> std::process::ExitCode {
    blastdoor::main()
}
