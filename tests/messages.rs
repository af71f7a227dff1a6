//! The messages of the compiler that a beginner meets.
//!
//! Each program in `tests/messages` has one mistake. The test compiles it, and looks for the words that
//! help in what the compiler says. The rest of the text is the compiler's, and changes with its version.
//!
//! A program of its own, since it waits for a compiler.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// A program, and what the message must contain.
const MISTAKES: &[(&str, &[&str])] = &[
    ("bare_handler", &["`Upper` is not a protocol", "impl Protocol for", "Framed::new"]),
    ("option_of_a_factory", &["`Option<Echo>` is not a factory", "|_peer| Echo"]),
    ("closure_without_protocol", &["is not a factory", "a type that implements `Protocol`"]),
    ("peer_without_a_type", &["type annotations needed", "|peer: "]),
    (
        "reactor_in_a_thread",
        &["cannot be sent between threads safely", "StaysOnItsThread", "crocus::Reactor"],
    ),
];

#[test]
fn the_compiler_helps_with_the_mistakes_of_beginners() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages");
    let binaries = package.join("src/bin");
    fs::create_dir_all(&binaries).unwrap();
    let manifest = format!(
        "[package]\nname = \"messages\"\nedition = \"2024\"\n[dependencies]\ncrocus = {{ path = {:?} }}\n[workspace]\n",
        env!("CARGO_MANIFEST_DIR")
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    for (name, _) in MISTAKES {
        let file = format!("{name}.rs");
        fs::copy(programs.join(&file), binaries.join(&file)).unwrap();
    }
    for (name, wanted) in MISTAKES {
        let message = compile(&package, name);
        for words in *wanted {
            assert!(message.contains(words), "{name}: no {words:?} in\n{message}");
        }
    }
}

/// The compiler's message about a program, which it must refuse.
fn compile(package: &Path, name: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--bin", name])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(!output.status.success(), "{name} compiles");
    String::from_utf8(output.stderr).unwrap()
}
