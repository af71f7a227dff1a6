//! The page for a folder without an index: links to what is in it.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// The most names in a page. Reading and sorting more would keep other connections waiting, and their page
/// would take more than a megabyte.
const MOST: usize = 10_000;

/// Lists a folder that is asked for by the path `title`. `kind` says of an entry whether it is served and is a
/// folder (`Some(true)`), is served and is a file, or is not served.
pub(crate) fn page(
    folder: &Path,
    title: &Path,
    kind: impl Fn(&fs::DirEntry) -> Option<bool>,
) -> io::Result<String> {
    let mut entries: Vec<(OsString, bool)> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().and_then(|entry| Some((entry.file_name(), kind(&entry)?))))
        .take(MOST + 1)
        .collect();
    let more = entries.len() > MOST;
    entries.truncate(MOST);
    entries.sort();
    let title = escape(&title.join("").to_string_lossy()); // with a slash at its end
    let mut page = format!(
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/{title}</title>\n<h1>/{title}</h1>\n<ul>\n"
    );
    if !title.is_empty() {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for (name, is_folder) in entries {
        let slash = if is_folder { "/" } else { "" };
        // Every other byte is encoded, so no name is taken for a scheme, a query or the end of the attribute.
        let link = percent_encode(name.as_bytes(), NON_ALPHANUMERIC);
        let name = escape(&name.to_string_lossy());
        // Writing to a string cannot fail.
        let _ = writeln!(page, "<li><a href=\"{link}{slash}\">{name}{slash}</a>");
    }
    page.push_str(if more { "</ul>\n<p>and more\n" } else { "</ul>\n" });
    Ok(page)
}

/// A text as it stands in a page between two tags.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
