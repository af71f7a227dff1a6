//! A rule of the documentation: every public type has an example, and every public method has one or stands
//! in one.
//!
//! A method stands in an example if the example calls or implements it by its name, and is the example of its
//! type or of an item that the method's documentation links to. So a builder is shown once, and a reader who
//! looks a method up finds its example on the same page or behind a link. A method of the same name on
//! another type is not told apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Methods without an example: of the first two the one for IPv4 is like them, and the last is for protocols
/// that pass on their bytes, of which [`crocus::framing::Framed`] is the example.
const EXEMPT: [&str; 3] = [
    "DatagramTransport::join_multicast_v6",
    "DatagramTransport::leave_multicast_v6",
    "Transport::unread_behind",
];

/// The documentation of what is public, by its name: `Reactor`, `Reactor::run`.
type Documented = BTreeMap<String, String>;

fn documented() -> Documented {
    let mut items = Documented::new();
    for file in sources() {
        let text = fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        read_ids(text, &mut items);
        read(text, &mut items);
    }
    assert!(items.len() > 300, "the items are found");
    items
}

fn sources() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("fuzzing") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Adds the identifiers, which a macro declares.
fn read_ids(text: &str, items: &mut Documented) {
    for block in text.split("\nid_type! {\n").skip(1) {
        let lines = block.lines().take_while(|line| *line != "}").map(str::trim_start);
        let (docs, names): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("///"));
        items.insert(names.concat(), docs.join("\n"));
    }
}

/// Adds the types, and the methods in their blocks.
fn read(text: &str, items: &mut Documented) {
    let (mut docs, mut owner, mut is_trait) = (String::new(), None, false);
    let mut in_attribute = false;
    for line in text.lines() {
        let code = line.trim_start();
        if code.starts_with("///") {
            docs += code;
            docs += "\n";
            continue;
        }
        // An attribute, of one line or more, stands between an item and its documentation.
        if in_attribute || code.starts_with("#[") {
            in_attribute = !code.ends_with(']');
            continue;
        }
        let docs = std::mem::take(&mut docs);
        if let Some(name) = type_name(line) {
            is_trait = line.starts_with("pub trait");
            owner = is_trait.then_some(name);
            items.insert(name.to_owned(), docs);
        } else if line.starts_with("impl") {
            (owner, is_trait) = (implemented(line), false);
        } else if let (Some(owner), Some(name)) = (owner, method_name(line, is_trait)) {
            items.insert(format!("{owner}::{name}"), docs);
        }
    }
}

/// The name of the type that a line declares.
fn type_name(line: &str) -> Option<&str> {
    let kinds = ["pub struct ", "pub enum ", "pub trait "];
    kinds.iter().find_map(|kind| line.strip_prefix(kind)).map(identifier)
}

/// The type in `impl<T> Type<T> {`; `None` where a trait is implemented.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let mut depth = 0;
    let end = rest.find(|c: char| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0 && c == ' '
    })?;
    (!line.contains(" for ")).then(|| identifier(&rest[end + 1..]))
}

/// The name of the public method that a line declares. All methods of a trait are public.
fn method_name(line: &str, is_trait: bool) -> Option<&str> {
    let line = line.strip_prefix("    ")?;
    let line = if is_trait { line } else { line.strip_prefix("pub ")? };
    let line = line.strip_prefix("const ").unwrap_or(line);
    line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").map(identifier)
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The code in a documentation.
fn example(docs: &str) -> String {
    docs.split("```").skip(1).step_by(2).collect()
}

/// Whether an example calls or implements a method.
fn names(example: &str, method: &str) -> bool {
    example.match_indices(method).any(|(at, _)| {
        let (before, after) = (&example[..at], &example[at + method.len()..]);
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        whole && (after.starts_with('(') || after.starts_with("::<") || after.starts_with('<'))
    })
}

/// The items that a documentation links to; `owner` is its `Self`.
fn links(docs: &str, owner: &str) -> Vec<String> {
    let ends = docs.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let short = docs.split("[`").skip(1).filter_map(|rest| rest.split_once("`]"));
    let paths = ends.chain(short).map(|(path, _)| path.replace("Self", owner));
    paths.map(|path| path.trim_start_matches("crate::").to_owned()).collect()
}

/// The last part of a path that leads to an item, without its modules.
fn lookup<'a>(items: &'a Documented, mut path: &str) -> Option<&'a String> {
    loop {
        if let Some(docs) = items.get(path) {
            return Some(docs);
        }
        path = path.split_once("::")?.1;
    }
}

/// Whether a method has an example or stands in one.
fn is_shown(items: &Documented, owner: &str, method: &str, docs: &str) -> bool {
    let is_named = |docs: &String| names(&example(docs), method);
    docs.contains("```")
        || items.get(owner).is_some_and(is_named)
        || links(docs, owner).iter().any(|link| lookup(items, link).is_some_and(is_named))
}

#[test]
fn every_public_type_has_an_example() {
    let items = documented();
    let types = items.iter().filter(|(name, _)| !name.contains("::"));
    let bare: Vec<_> =
        types.filter(|(_, docs)| !docs.contains("```")).map(|(name, _)| name).collect();
    assert!(bare.is_empty(), "without an example: {bare:?}");
}

#[test]
fn every_public_method_stands_in_an_example() {
    let items = documented();
    let mut bare = Vec::new();
    for (name, docs) in &items {
        let Some((owner, method)) = name.split_once("::") else { continue };
        if !is_shown(&items, owner, method, docs) {
            bare.push(name.as_str());
        }
    }
    assert_eq!(bare, EXEMPT, "without an example");
}
