//! Parts of files, and files that the client has already.

use std::time::SystemTime;

use super::clients::curl;
use super::*;

fn ask_with(server: &Server, method: &str, target: &str, fields: &str) -> Response {
    let mut client = Client::new(server);
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    client.send_end();
    if method == "HEAD" { client.head().unwrap() } else { client.response().unwrap() }
}

fn wget(args: &[&str]) -> Option<Command> {
    let mut wget = tool("wget")?;
    wget.args(["--no-config", "--no-proxy", "--no-verbose", "--tries", "1", "--timeout", "60"])
        .args(args);
    Some(wget)
}

/// A folder with a file, which a server serves, and the first million bytes of a copy.
fn begun() -> (Folder, Server, PathBuf, Vec<u8>) {
    let root = Folder::new();
    let content = noise(3_000_000);
    fs::write(root.join("video.webm"), &content).unwrap();
    let server = serving(&root);
    let copy = root.join("copy");
    fs::write(&copy, &content[..1_000_000]).unwrap();
    (root, server, copy, content)
}

#[test]
fn curl_continues_one() {
    let (_root, server, copy, content) = begun();
    let url = format!("http://{}/video.webm", server.addr);
    let output = ["--continue-at", "-", "--output", copy.to_str().unwrap()];
    let Some(mut curl) = curl(&output) else { return };
    let end = run(curl.args(["--write-out", "%{http_code} %{size_download}", &url]));
    assert_eq!((end.code, end.text()), (Some(0), "206 2000000"), "{end:?}");
    assert!(fs::read(&copy).unwrap() == content, "a copy that differs");
    server.stop_with_clients();
}

#[test]
fn wget_continues_one_and_sees_that_another_is_whole() {
    let (_root, server, copy, content) = begun();
    let url = format!("http://{}/video.webm", server.addr);
    for said in ["2000000", "fully retrieved"] {
        let Some(mut wget) = wget(&["--continue", "--verbose", "--output-document"]) else {
            return;
        };
        let end = run(wget.arg(&copy).arg(&url));
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.stderr.contains(said), "{end:?}");
        assert!(fs::read(&copy).unwrap() == content, "a copy that differs");
    }
    server.stop_with_clients();
}

#[test]
fn curl_is_told_that_its_copy_is_new_enough() {
    let root = Folder::new();
    fs::write(root.join("page.html"), "first").unwrap();
    let server = serving(&root);
    let url = format!("http://{}/page.html", server.addr);
    let (tag, page) = (root.join("tag"), root.join("page.html"));
    let (tag, page) = (tag.to_str().unwrap(), page.to_str().unwrap());
    let code = |args: &[&str]| {
        let mut curl = curl(&["--output", "/dev/null", "--write-out", "%{http_code}"])?;
        Some(run(curl.args(args).arg(&url)).text().to_owned())
    };
    let Some(first) = code(&["--etag-save", tag]) else { return };
    assert_eq!(first, "200");
    assert_eq!(code(&["--etag-compare", tag]).unwrap(), "304");
    assert_eq!(code(&["--time-cond", page]).unwrap(), "304", "as old as the file itself");
    assert_eq!(code(&["--time-cond", "1 Jan 2000"]).unwrap(), "200");
    fs::write(root.join("page.html"), "other").unwrap();
    assert_eq!(code(&["--etag-compare", tag]).unwrap(), "200", "as long, and another one");
    server.stop_with_clients();
}

#[test]
fn wget_leaves_a_file_that_has_not_changed() {
    let (root, copies) = (Folder::new(), Folder::new());
    fs::write(root.join("page.html"), "page").unwrap();
    let server = serving(&root);
    let url = format!("http://{}/page.html", server.addr);
    for said in ["-> \"", "304 Not Modified"] {
        let Some(mut wget) = wget(&["--timestamping", "--server-response"]) else { return };
        let end = run(wget.arg("--directory-prefix").arg(&*copies).arg(&url));
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(end.stderr.contains(said), "{end:?}");
        assert_eq!(fs::read(copies.join("page.html")).unwrap(), b"page");
    }
    server.stop_with_clients();
}

/// A browser asks again for what it has, since it cannot know whether that has changed.
#[test]
fn chromium_loads_a_page_twice_and_its_files_once() {
    let (root, profile) = (Folder::new(), Folder::new());
    let files = [
        (
            "index.html",
            "<link rel=stylesheet href=style.css><script src=script.js></script><p>text",
        ),
        ("style.css", "@font-face { font-family: f; src: url(font.woff2) } p { font-family: f }"),
        ("script.js", "document.title = 'ready'"),
        ("font.woff2", "no font at all"),
    ];
    for (name, content) in files {
        fs::write(root.join(name), content).unwrap();
        // From the future: its age gives no reason to think that it is still the same.
        let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
        File::options().write(true).open(root.join(name)).unwrap().set_modified(tomorrow).unwrap();
    }
    let args = ["--listen", "127.0.0.1:0", "--root", root.to_str().unwrap()];
    let server = Server::start(program().args(args).env("RUST_LOG", "http_server=info"));
    for _ in 0..2 {
        let Some(mut chromium) = tool("chromium") else { return };
        chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
        chromium.args(["--disable-background-networking", "--disable-component-update"]);
        chromium.args(["--disable-sync", "--no-proxy-server", "--dump-dom"]);
        chromium.arg(format!("--user-data-dir={}", profile.display()));
        let end = run(chromium.arg(format!("http://{}/", server.addr)));
        assert!(end.text().contains("<title>ready</title>"), "{end:?}");
    }
    server.program.signal("TERM");
    let log = server.program.finish().stderr;
    for path in ["/", "/style.css", "/script.js", "/font.woff2"] {
        let count = |status| log.matches(&format!(": GET {path}: {status}\n")).count();
        assert_eq!((count("200 OK"), count("304 Not Modified")), (1, 1), "{path}: {log}");
    }
}

#[test]
fn of_a_part_have_its_bytes_and_say_where_it_is() {
    let root = Folder::new();
    fs::write(root.join("ten"), "0123456789").unwrap();
    fs::write(root.join("none"), "").unwrap();
    let server = serving(&root);
    for (range, status, body, place) in [
        ("bytes=0-4", 206, "01234", Some("bytes 0-4/10")),
        ("bytes=8-", 206, "89", Some("bytes 8-9/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=10-", 416, "416 Range Not Satisfiable\n", Some("bytes */10")),
        ("bytes=-0", 416, "416 Range Not Satisfiable\n", Some("bytes */10")),
        ("bytes=4-3", 200, "0123456789", None),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("lines=0-1", 200, "0123456789", None),
    ] {
        let response = ask_with(&server, "GET", "/ten", &format!("Range: {range}\r\n"));
        let body = (status, body.as_bytes());
        assert_eq!((response.status, &*response.body), body, "{range}");
        assert_eq!(response.field("Content-Range"), place, "{range}");
        assert!(!response.closes(), "{range}");
    }
    assert_eq!(ask_with(&server, "GET", "/none", "Range: bytes=0-\r\n").status, 416);
    let head = ask_with(&server, "HEAD", "/ten", "Range: bytes=0-4\r\n");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("10")));
    assert_eq!(head.field("Accept-Ranges"), Some("bytes"));
    server.stop_with_clients();
}

#[test]
fn of_a_part_in_one_connection_keep_their_order() {
    let root = Folder::new();
    let content = noise(1_000_000);
    fs::write(root.join("file"), &content).unwrap();
    let server = serving(&root);
    let parts: Vec<_> = (0..10).rev().map(|part| part * 100_000..(part + 1) * 100_000).collect();
    let request = |part: &std::ops::Range<usize>| {
        let (first, last) = (part.start, part.end - 1);
        format!("GET /file HTTP/1.1\r\nHost: h\r\nRange: bytes={first}-{last}\r\n\r\n")
    };
    let responses = ask(&server, parts.iter().map(request).collect::<String>());
    assert_eq!(statuses(&responses), [206; 10]);
    for (response, part) in responses.iter().zip(parts) {
        assert!(response.body == content[part.clone()], "{part:?}");
    }
    server.stop_with_clients();
}

#[test]
fn that_depend_on_the_version_ask_the_tag_before_the_date() {
    const OLD: &str = "Sat, 01 Jan 2000 00:00:00 GMT";
    let root = Folder::new();
    fs::write(root.join("ten"), "0123456789").unwrap();
    // A minute ago: a date whose second is not over is none for `If-Range`.
    let before = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(root.join("ten")).unwrap().set_modified(before).unwrap();
    let server = serving(&root);
    let whole = get(&server, "/ten");
    let tag = whole.field("ETag").unwrap();
    let date = whole.field("Last-Modified").unwrap();
    httpdate::parse_http_date(date).unwrap();
    for (fields, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"a\", W/{tag} , \"b\"\r\n"), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"a\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {date}\r\n"), 304),
        (format!("If-Modified-Since: {OLD}\r\n"), 200),
        ("If-Modified-Since: soon\r\n".to_owned(), 200),
        (format!("If-None-Match: \"a\"\r\nIf-Modified-Since: {date}\r\n"), 200),
        (format!("If-Modified-Since: {OLD}\r\nIf-None-Match: {tag}\r\n"), 304),
        (format!("Range: bytes=0-1\r\nIf-None-Match: {tag}\r\n"), 304),
        (format!("Range: bytes=0-1\r\nIf-Range: {tag}\r\n"), 206),
        (format!("Range: bytes=0-1\r\nIf-Range: W/{tag}\r\n"), 200),
        ("Range: bytes=0-1\r\nIf-Range: \"a\"\r\n".to_owned(), 200),
        (format!("Range: bytes=0-1\r\nIf-Range: {date}\r\n"), 206),
        (format!("Range: bytes=0-1\r\nIf-Range: {OLD}\r\n"), 200),
        ("Range: bytes=99-\r\nIf-Range: \"a\"\r\n".to_owned(), 200),
    ] {
        let response = ask_with(&server, "GET", "/ten", &fields);
        assert_eq!(response.status, status, "{fields:?}");
        if status != 304 {
            continue;
        }
        assert_eq!(
            (response.field("ETag"), response.field("Last-Modified")),
            (Some(tag), Some(date))
        );
        assert_eq!(response.field("Content-Length"), None);
        assert_eq!(ask_with(&server, "HEAD", "/ten", &fields).status, 304, "{fields:?}");
    }
    server.stop_with_clients();
}

/// As files are that a build makes reproducible.
#[test]
fn of_another_file_as_long_and_as_old_are_new() {
    let root = Folder::new();
    let server = serving(&root);
    let tags = ["one", "two"].map(|content| {
        let path = root.join(content);
        fs::write(&path, content).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        fs::rename(path, root.join("file")).unwrap();
        get(&server, "/file").field("ETag").unwrap().to_owned()
    });
    assert_ne!(tags[0], tags[1]);
    server.stop_with_clients();
}
