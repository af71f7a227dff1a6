//! Rules of the source tree: which folder imports which, how large a circle of imports may be, how long files and
//! functions may be, and what the page about it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Longer than the guide of 300 lines, and no longer than a reader takes in one go.
const LONGEST_FILE: usize = 400;

const LONGEST_FUNCTION: usize = 50;

/// Files that import each other, all of them by way of others. `ARCHITECTURE.md` names them.
const LARGEST_CIRCLE: usize = 8;

/// Files that hold nothing but tests.
const TESTS: [&str; 5] = [
    "connection::script",
    "connection::table",
    "connection::table_of_headers",
    "connection::table_of_lent",
    "connection::table_of_tls",
];

/// The source files by module: `connection::input`; the root is empty.
type Tree = BTreeMap<String, String>;

fn tree() -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut tree, mut folders) = (Tree::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let inside = path.strip_prefix(&root).unwrap().with_extension("");
                let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
                let module = parts.join("::");
                let module = module.trim_end_matches("mod").trim_end_matches("::");
                let module = if module == "lib" { "" } else { module };
                tree.insert(module.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(tree.len() > 50, "the tree is found");
    tree
}

fn is_below(module: &str, folder: &str) -> bool {
    module == folder || module.strip_prefix(folder).is_some_and(|rest| rest.starts_with("::"))
}

/// The code of a file, without its tests and comments. Links in the documentation are not imports.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in the crate that the code of a module names, from the root on, braces written out.
fn named(tree: &Tree, module: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    // `pub use` passes a name on, and the module does not know it.
    for item in code(&tree[module]).split_inclusive(';').filter(|item| !item.contains("pub use ")) {
        for (at, _) in item.match_indices("crate::") {
            spell_out("", &item[at + "crate::".len()..], &mut paths);
        }
        let mut rest = item;
        while let Some(at) = rest.find("super::") {
            let mut base = module;
            rest = &rest[at..];
            while let Some(inner) = rest.strip_prefix("super::") {
                base = base.rsplit_once("::").map_or("", |(parent, _)| parent);
                rest = inner;
            }
            spell_out(base, rest, &mut paths);
        }
        if let Some((_, path)) = item.split_once("\nuse ") {
            let child = format!("{module}::{}", path.split("::").next().unwrap());
            if tree.contains_key(&child) {
                spell_out(module, path, &mut paths);
            }
        }
    }
    paths
}

/// Adds the path at the beginning of `text`, or one for each name in its braces.
fn spell_out(base: &str, text: &str, paths: &mut BTreeSet<String>) {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let (head, rest) = text.split_at(end.unwrap_or(text.len()));
    let head = head.trim_end_matches(':');
    let path = if base.is_empty() || head.is_empty() {
        format!("{base}{head}")
    } else {
        format!("{base}::{head}")
    };
    let Some(list) = rest.strip_prefix('{') else {
        paths.insert(path);
        return;
    };
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !list[begin..at].trim().is_empty() {
                    spell_out(&path, &list[begin..=at], paths);
                }
                begin = at + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// The module that has what a path names. A name that the root exports belongs to its own module.
fn home<'a>(tree: &'a Tree, exported: &BTreeMap<String, String>, path: &str) -> Option<&'a str> {
    let first = path.split("::").next().unwrap();
    let mut path = exported.get(first).map_or(path, String::as_str);
    loop {
        if let Some((module, _)) = tree.get_key_value(path) {
            return Some(module);
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// Which modules each module imports.
fn imports(tree: &Tree) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut exported = BTreeMap::new();
    for item in tree[""].split(';').filter_map(|item| item.split_once("pub use ")) {
        let mut paths = BTreeSet::new();
        spell_out("", item.1, &mut paths);
        for path in paths {
            exported.insert(path.rsplit("::").next().unwrap().to_owned(), path);
        }
    }
    let modules = tree.keys().filter(|module| !module.is_empty());
    let homes = |module: &str| {
        let paths = named(tree, module);
        let homes = paths.iter().filter_map(|path| home(tree, &exported, path));
        homes.filter(|home| *home != module && !home.is_empty()).collect()
    };
    modules.map(|module| (module.as_str(), homes(module))).collect()
}

#[test]
fn extras_use_only_the_public_interface() {
    let tree = tree();
    for module in tree.keys().filter(|module| is_below(module, "extras")) {
        for path in named(&tree, module) {
            let first = path.split("::").next().unwrap();
            let public =
                first.starts_with(char::is_uppercase) || ["framing", "tls"].contains(&first);
            assert!(public || is_below(&path, "extras"), "{module} uses {path}");
        }
    }
}

#[test]
fn lower_folders_do_not_know_the_reactor() {
    let tree = tree();
    let imports = imports(&tree);
    for (folder, allowed) in [
        ("parts", &[][..]),
        ("address", &["parts"]),
        ("ids", &["parts"]),
        ("callback", &[]),
        ("reason", &["parts", "callback", "tls", "proxy"]),
        ("system", &["parts", "simulation", "address"]),
        ("tls", &["address"]),
        ("proxy", &["address"]),
        ("connection", &["parts", "system", "address", "reason", "tls", "proxy"]),
        ("observe", &["parts", "address", "callback", "ids", "reason", "system"]),
    ] {
        for (module, homes) in imports.iter().filter(|(module, _)| is_below(module, folder)) {
            for home in homes {
                let known = allowed.iter().any(|allowed| is_below(home, allowed));
                assert!(known || is_below(home, folder), "{module} imports {home}");
            }
        }
    }
}

#[test]
fn the_largest_circle_of_imports_stays_small() {
    let tree = tree();
    let imports = imports(&tree);
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|&module| {
            let (mut reached, mut ahead) = (BTreeSet::new(), vec![module]);
            while let Some(next) = ahead.pop() {
                ahead.extend(imports[next].iter().filter(|home| reached.insert(**home)));
            }
            (module, reached)
        })
        .collect();
    let circle = |module: &str| -> Vec<&str> {
        reached[module].iter().copied().filter(|other| reached[other].contains(module)).collect()
    };
    let largest = imports.keys().map(|module| circle(module)).max_by_key(Vec::len).unwrap();
    assert_eq!(largest.len(), LARGEST_CIRCLE, "{largest:?}");
}

#[test]
fn files_and_functions_stay_short() {
    for (module, text) in tree() {
        if TESTS.contains(&module.as_str()) {
            continue;
        }
        let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap().lines().count();
        assert!(lines <= LONGEST_FILE, "{module} has {lines} lines");
        let mut begun = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let comment = line.trim_start().starts_with("//");
            let mut words = line.trim_start().split([' ', '(']).take(4);
            if !comment && begun.is_none() && words.any(|word| word == "fn") {
                begun = Some((number, indent));
            }
            let Some((first, outer)) = begun else { continue };
            let length = number - first;
            if line.trim_end().ends_with(';') && indent == outer
                || length == 0 && line.ends_with('}')
            {
                begun = None; // without a body, or all of it in one line
            } else if line.trim_end() == format!("{}}}", " ".repeat(outer)) {
                assert!(length <= LONGEST_FUNCTION, "{module}:{first}: {length} lines");
                begun = None;
            }
        }
    }
}

/// Words that begin a sentence only if it asks: elsewhere the reader has to look for its subject.
const ASKING: [&str; 3] = ["Who ", "What ", "That "];

/// The sentences of the comments in a file: lines of comment that follow each other are one text.
fn sentences(text: &str) -> Vec<String> {
    let comment = |line: &str| {
        let line = line.trim().strip_prefix("//")?.trim_start_matches(['/', '!']).trim();
        Some(line.to_owned()).filter(|line| !line.is_empty())
    };
    let lines: Vec<_> = text.lines().map(comment).collect();
    let texts = lines
        .split(Option::is_none)
        .map(|lines| lines.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" "));
    texts
        .flat_map(|text| text.split_inclusive(". ").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn only_questions_begin_with_who_what_and_that() {
    assert_eq!(sentences("/// It is. What\n/// waits.\nfn x() {}"), ["It is. ", "What waits."]);
    for (module, text) in tree() {
        for sentence in sentences(&text) {
            let asks = sentence.contains('?');
            let begins = ASKING.iter().any(|word| sentence.starts_with(word));
            assert!(asks || !begins, "{module}: {sentence}");
        }
    }
}

/// The methods of each block that begins with `header`, by name.
fn methods(text: &str, header: &str) -> Vec<BTreeSet<String>> {
    let blocks = text.match_indices(header).map(|(at, _)| {
        let block = text[at..].split("\n}\n").next().unwrap();
        let names = block.lines().filter_map(|line| line.strip_prefix("    fn "));
        names.map(|name| name.split(['(', '<']).next().unwrap().to_owned()).collect()
    });
    blocks.collect()
}

/// A method with a default that a box does not pass on would be skipped without a word.
#[test]
fn every_method_of_a_trait_is_passed_on() {
    let tree = tree();
    let passing = [
        (
            "protocol",
            "pub trait Protocol",
            "impl<P: Protocol + ?Sized> Protocol for Box<P>",
            "protocol",
        ),
        (
            "protocol",
            "pub trait Protocol",
            "> Protocol for Framed<F, H>",
            "extras::framing::adaptor",
        ),
        ("protocol", "pub trait Factory", "macro_rules! forward", "factories"),
        ("protocol", "pub trait Factory", "> Factory for Reconnecting<F>", "extras::reconnecting"),
        (
            "datagram",
            "pub trait DatagramProtocol",
            "impl<P: DatagramProtocol + ?Sized> DatagramProtocol for Box<P>",
            "datagram",
        ),
    ];
    for (module, defined, passed, by) in passing {
        let all = methods(&tree[module], defined);
        assert!(all[0].len() >= 5, "{defined} is found");
        let here = methods(&code(&tree[by]).replace("        fn ", "    fn "), passed);
        assert!(!here.is_empty(), "{passed} is found");
        for names in here {
            assert!(names.is_superset(&all[0]), "{passed}: {:?}", all[0].difference(&names));
        }
    }
}

/// Words of `ARCHITECTURE.md` in code that name nothing of the code.
const NO_NAMES: [&str; 2] = ["cargo doc", "unsafe"];

/// Whether a piece of code in the text of a page names what is there: files and folders, or words of the code.
fn is_there(span: &str, files: &[String], words: &BTreeSet<&str>) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(span).exists()
        || root.join("src").join(span).exists()
        || files.iter().any(|file| file.ends_with(&format!("/{span}")))
        || span.split(is_between_words).all(|word| word.is_empty() || words.contains(word))
}

fn is_between_words(letter: char) -> bool {
    !letter.is_alphanumeric() && letter != '_'
}

#[test]
fn the_page_on_architecture_names_what_is_there() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = fs::read_to_string(page).unwrap();
    let tree = tree();
    let code: Vec<_> = tree.values().map(|text| code(text)).collect();
    let words = code.iter().flat_map(|text| text.split(is_between_words)).collect();
    let paths = tree.keys().map(|module| format!("/{}", module.replace("::", "/")));
    let files: Vec<_> = paths.flat_map(|path| [format!("{path}.rs"), path + "/mod.rs"]).collect();
    let prose: String = page.split("```").step_by(2).collect(); // without the picture
    let spans: Vec<_> = prose.split('`').skip(1).step_by(2).collect();
    assert!(spans.len() > 400, "the names are found");
    let gone = spans.iter().filter(|span| !is_there(span, &files, &words));
    assert_eq!(gone.copied().collect::<Vec<_>>(), NO_NAMES);
}

/// A package that is no default member is tested neither by the README's command nor by the gate.
#[test]
fn cargo_test_runs_the_tests_of_every_package() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let packages = |list: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(list))?;
        Some(line.split('"').skip(1).step_by(2).collect::<Vec<_>>())
    };
    let Some(members) = packages("members = ") else { return }; // in the package of the library, which is alone
    let tested = packages("default-members = ").unwrap();
    assert_eq!(tested, [vec!["."], members].concat());
}
