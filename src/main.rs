//! Arguments in, exit code out.

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    std::process::exit(introspod::run(&arguments));
}
