//! Folders without an index, folders that take the place of another, and what is no file in them.

use super::clients::curl;
use super::*;

const ODD_NAMES: [&str; 11] = [
    "a b.txt",
    "ü.txt",
    "100%.txt",
    "q?a=b.txt",
    "x#y.txt",
    "<b>&amp;.txt",
    "it's \"so\".txt",
    "a:b",
    "%41.txt",
    "sub folder/in it",
    "javascript:alert(1)",
];

#[test]
fn wget_finds_every_file_by_the_links() {
    let (root, copies) = (Folder::new(), Folder::new());
    let odd = root.join("odd");
    fs::create_dir_all(odd.join("sub folder")).unwrap();
    fs::create_dir(odd.join(".git")).unwrap();
    for name in ODD_NAMES.iter().chain(&[".hidden", ".git/config", "back\\slash"]) {
        fs::write(odd.join(name), name).unwrap();
    }
    symlink(".hidden", odd.join("link to hidden")).unwrap();
    symlink("/etc/passwd", odd.join("link to outside")).unwrap();
    assert!(Command::new("mkfifo").arg(odd.join("pipe")).status().unwrap().success());
    let server = serving(&root);
    let Some(mut wget) = tool("wget") else { return };
    wget.args(["--no-config", "--no-proxy", "--recursive", "--no-parent", "--no-host-directories"]);
    wget.args(["--execute=robots=off", "--tries=1", "--timeout=60", "--no-verbose"]);
    wget.args(["--cut-dirs=1", "--restrict-file-names=unix,nocontrol", "--directory-prefix"]);
    let end = run(wget.arg(&*copies).arg(format!("http://{}/odd", server.addr)));
    assert_eq!(end.code, Some(0), "each link leads to a file: {end:?}");
    let (mut found, mut folders) = (Vec::new(), vec![copies.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.file_name().unwrap().to_str().unwrap() {
                "index.html" | "odd" => {} // the pages themselves
                _ if path.is_dir() => folders.push(path),
                _ => found.push(fs::read_to_string(path).unwrap()),
            }
        }
    }
    found.sort();
    let mut expected = ODD_NAMES;
    expected.sort_unstable();
    assert_eq!(found, expected, "each file has its name as content");
    server.stop_with_clients();
}

#[test]
fn without_an_index_are_listed_and_escaped() {
    let root = Folder::new();
    fs::create_dir_all(root.join("a&<b>/<i>")).unwrap();
    fs::write(root.join("a&<b>/\"><script>"), "").unwrap();
    let server = serving(&root);
    let page = get(&server, "/a&%3Cb%3E/");
    assert_eq!((page.status, page.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    let page = String::from_utf8(page.body).unwrap();
    let expected = "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/a&amp;&lt;b>/</title>\n\
        <h1>/a&amp;&lt;b>/</h1>\n<ul>\n<li><a href=\"../\">../</a>\n\
        <li><a href=\"%22%3E%3Cscript%3E\">\">&lt;script></a>\n\
        <li><a href=\"%3Ci%3E/\">&lt;i>/</a>\n</ul>\n";
    assert_eq!(page, expected);
    let redirect = get(&server, "/a&%3Cb%3E?q");
    assert_eq!((redirect.status, redirect.field("Location")), (301, Some("/a&%3Cb%3E/?q")));
    let top = String::from_utf8(get(&server, "/").body).unwrap();
    assert!(top.contains("<title>/</title>") && !top.contains("../"), "nothing is above: {top}");
    server.stop_with_clients();
}

#[test]
fn of_many_files_are_listed_up_to_a_bound() {
    let root = Folder::new();
    for number in 0..10_001 {
        File::create(root.join(number.to_string())).unwrap();
    }
    let server = serving(&root);
    let page = String::from_utf8(get(&server, "/").body).unwrap();
    assert_eq!(page.matches("<li>").count(), 10_000);
    assert!(page.ends_with("<p>and more\n"), "{page}");
    fs::remove_file(root.join("5")).unwrap();
    let page = String::from_utf8(get(&server, "/").body).unwrap();
    assert_eq!((page.matches("<li>").count(), page.contains("and more")), (10_000, false));
    server.stop_with_clients();
}

/// A root that is a link to the folder `one`, beside the folder `two`. Both have the same files, found by
/// each of the ways, and a file of their own.
fn releases() -> Folder {
    let dir = Folder::new();
    for name in ["one", "two"] {
        fs::create_dir_all(dir.join(name).join("sub")).unwrap();
        fs::create_dir_all(dir.join(name).join("list")).unwrap();
        for file in ["page", "sub/index.html", name, &format!("list/{name}")] {
            fs::write(dir.join(name).join(file), name).unwrap();
        }
        symlink("page", dir.join(name).join("link")).unwrap();
    }
    symlink("one", dir.join("root")).unwrap();
    dir
}

/// All that is served is of the release `name`, and nothing of the release `other`.
fn assert_serves(server: &Server, name: &str, other: &str) {
    for target in ["/page", "/sub/", "/link", &format!("/{name}")] {
        assert_eq!(get(server, target).body, name.as_bytes(), "{target}");
    }
    assert_eq!(get(server, &format!("/{other}")).status, 404);
    let list = String::from_utf8(get(server, "/list/").body).unwrap();
    assert!(list.contains(name) && !list.contains(other), "{list}");
}

#[test]
fn that_take_the_place_of_the_root_are_served_whole() {
    let dir = releases();
    sparse(&dir.join("one/large"), 1 << 26);
    let server = serving(&dir.join("root"));
    assert_serves(&server, "one", "two");
    let mut reading = Client::new(&server);
    reading.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(reading.head().unwrap().status, 200);

    symlink("two", dir.join("new")).unwrap();
    fs::rename(dir.join("new"), dir.join("root")).unwrap();
    assert_serves(&server, "two", "one");

    fs::remove_dir_all(dir.join("one")).unwrap();
    let mut large = vec![1; 1 << 26];
    reading.0.read_exact(&mut large).unwrap();
    assert!(large.iter().all(|&byte| byte == 0), "an answer is finished from the old root");
    reading.send("GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(reading.response().unwrap().body, b"two");
    drop(reading);
    server.stop_with_clients();
}

#[test]
fn renamed_to_the_root_are_served_whole() {
    let dir = releases();
    let server = serving(&dir.join("one"));
    assert_serves(&server, "one", "two");
    fs::rename(dir.join("one"), dir.join("old")).unwrap();
    assert_eq!(get(&server, "/page").status, 404, "there is none");
    fs::rename(dir.join("two"), dir.join("one")).unwrap();
    assert_serves(&server, "two", "one");
    fs::remove_dir_all(dir.join("old")).unwrap();
    assert_serves(&server, "two", "one");
    server.stop_with_clients();
}

#[test]
fn curl_replaces_no_reader_of_a_pipe() {
    let root = Folder::new();
    let pipe = root.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let server = serving(&root);
    let mut writer = Command::new("sh");
    let writer = Running::start(writer.args(["-c", "echo hello > \"$0\""]).arg(&pipe));
    // It sleeps in open(2), until there is a reader.
    let stat = || fs::read_to_string(format!("/proc/{}/stat", writer.id())).unwrap();
    while !stat().contains(" S ") {
        thread::sleep(Duration::from_millis(2));
    }
    for target in ["pipe", "pipe/", ""] {
        let url = format!("http://{}/{target}", server.addr);
        let Some(mut curl) = curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &url])
        else {
            return;
        };
        assert_eq!(run(&mut curl).text(), if target.is_empty() { "200" } else { "404" });
    }
    let reader = run(Command::new("cat").arg(&pipe));
    assert_eq!((reader.code, reader.text()), (Some(0), "hello\n"));
    assert_eq!(writer.finish().code, Some(0));
    server.stop_with_clients();
}
