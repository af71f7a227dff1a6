//! Files: found, hidden, outside of the root.

use super::*;

/// A root, beside which is a secret.
fn tree() -> (Folder, PathBuf) {
    let dir = Folder::new();
    let root = dir.join("root");
    for sub in ["sub", "empty", "sly", "...", ".well"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    fs::create_dir(dir.join("root-beside")).unwrap();
    for (path, content) in [
        ("secret.txt", "SECRET"),
        ("root-beside/secret.txt", "SECRET"),
        ("root/.hidden", "SECRET"),
        ("root/.../a.txt", "SECRET"),
        ("root/.well/index.html", "SECRET"),
        ("root/back\\slash", "SECRET"),
        ("root/index.html", "index"),
        ("root/a.txt", "a"),
        ("root/nothing.bin", ""),
        ("root/with space+ü%.html", "name"),
        ("root/sub/index.html", "sub"),
        ("root/sub/STYLE.CSS", "css"),
    ] {
        fs::write(dir.join(path), content).unwrap();
    }
    symlink("a.txt", root.join("within")).unwrap();
    symlink(root.join("sub"), root.join("within-dir")).unwrap();
    symlink("../secret.txt", root.join("out")).unwrap();
    symlink(dir.join("secret.txt"), root.join("out-absolute")).unwrap();
    symlink("..", root.join("out-dir")).unwrap();
    symlink("../root-beside", root.join("out-beside")).unwrap();
    symlink("../../secret.txt", root.join("sly/index.html")).unwrap();
    symlink(".hidden", root.join("hidden")).unwrap();
    symlink(root.join("..."), root.join("dots")).unwrap();
    symlink(".well", root.join("well")).unwrap();
    symlink("out", root.join("out-twice")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("/dev/zero", root.join("device")).unwrap();
    (dir, root)
}

#[test]
fn are_found_by_their_names_with_their_types() {
    let (_folder, root) = tree();
    let server = serving(&root);
    for (target, content, content_type) in [
        ("/", "index", "text/html; charset=utf-8"),
        ("/?a=/../b", "index", "text/html; charset=utf-8"),
        ("/index.html", "index", "text/html; charset=utf-8"),
        ("/a.txt", "a", "text/plain; charset=utf-8"),
        ("/%61%2etxt", "a", "text/plain; charset=utf-8"),
        ("http://elsewhere/a.txt?q", "a", "text/plain; charset=utf-8"),
        ("/nothing.bin", "", "application/octet-stream"),
        ("/with%20space+%C3%bc%25.html", "name", "text/html; charset=utf-8"),
        ("/sub/", "sub", "text/html; charset=utf-8"),
        ("/sub/STYLE.CSS", "css", "text/css; charset=utf-8"),
        ("/within", "a", "application/octet-stream"),
        ("/within-dir/", "sub", "text/html; charset=utf-8"),
    ] {
        let response = get(&server, target);
        assert_eq!((response.status, &*response.body), (200, content.as_bytes()), "{target}");
        assert_eq!(response.field("Content-Type"), Some(content_type), "{target}");
    }
    for (target, location) in [("/sub", "/sub/"), ("/within-dir?q=1", "/within-dir/?q=1")] {
        let response = get(&server, target);
        assert_eq!((response.status, response.field("Location")), (301, Some(location)));
    }
    server.stop_with_clients();
}

#[test]
fn outside_of_the_root_are_not_served() {
    let (_folder, root) = tree();
    assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    let server = serving(&root);
    let absolute = root.parent().unwrap().join("secret.txt");
    let absolute = absolute.to_str().unwrap();
    let mut refused = vec![
        (absolute.to_owned(), 404),
        (format!("/{absolute}"), 404),
        (format!("/{}", absolute.replace('/', "%2f")), 404),
        (format!("/{}", "../".repeat(30)), 404),
        (format!("/{}etc/passwd", "../".repeat(30)), 404),
        (format!("/{}", "x".repeat(300)), 404),
        (format!("/{}", "x/".repeat(3000)), 404),
    ];
    let more = [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/sub/../a.txt",
        "/./a.txt",
        "/..",
        "/../",
        "/.",
        "/%2e%2e/secret.txt",
        "/%2E./secret.txt",
        "/.%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%2Fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/sub%2f..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..;/secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%c0%af../secret.txt",
        "/%uff0e%uff0e/secret.txt",
        "/%e2%80%a5/secret.txt",
        "//secret.txt",
        "///etc/passwd",
        "//etc/passwd",
        "/~root/",
        "/sub%2fSTYLE.CSS",
        "/back\\slash",
        "/back%5Cslash",
        "/%2fetc/passwd",
        "/%2Fetc%2Fpasswd",
        "//../secret.txt",
        "/root-beside/secret.txt",
        "/../root-beside/secret.txt",
        "/../root/a.txt",
        "/.hidden",
        "/%2ehidden",
        "/.../a.txt",
        "/out",
        "/out-absolute",
        "/out-twice",
        "/out-dir",
        "/out-dir/",
        "/out-dir/secret.txt",
        "/out-dir/root/a.txt/../../secret.txt",
        "/out-beside/secret.txt",
        "/sly/",
        "/hidden",
        "/dots/",
        "/dots/a.txt",
        "/well/",
        "/loop",
        "/loop/",
        "/device",
        "/pipe",
        "/a.txt/",
        "/a.txt/x",
        "/nothing.bin/",
        "/A.TXT",
        "/a.txt.",
        "/a.txt%20",
        "/a.txt::$DATA",
        "/C:/secret.txt",
        "/sub//index.html",
        "/sub//",
        "//",
        "//elsewhere.example/%2e%2e",
        "/%5celsewhere.example",
        "/sub/%2f",
        "/none",
        "/none/",
    ];
    refused.extend(more.map(|target| (target.to_owned(), 404)));
    let wrong = ["/%", "/%2", "/%zz", "/%+1", "/a.txt%00", "/%00", "/a.txt%00.html", "/%2e%2e%00/"];
    refused.extend(wrong.map(|target| (target.to_owned(), 400)));
    for (target, status) in refused {
        let response = get(&server, &target);
        let right = status == response.status || target.contains("%u") && response.status == 400;
        assert!(right, "{target}: {}", response.status);
        assert!(!response.body.windows(6).any(|part| part == b"SECRET"), "{target}");
        assert_eq!(response.field("Location"), None, "{target}");
    }
    assert_eq!(get(&server, "/a.txt").body, b"a");
    server.stop_with_clients();
}

#[test]
fn have_the_types_that_a_browser_needs() {
    let root = Folder::new();
    let server = serving(&root);
    for (name, content_type) in [
        ("a.rs", "text/plain; charset=utf-8"),
        ("a.toml", "text/plain; charset=utf-8"),
        ("a.MD", "text/plain; charset=utf-8"),
        ("a.log", "text/plain; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.mp3", "audio/mpeg"),
        ("a.webm", "video/webm"),
        ("a.unknown", "application/octet-stream"),
    ] {
        fs::write(root.join(name), "x").unwrap();
        let response = get(&server, &format!("/{name}"));
        assert_eq!(response.field("Content-Type"), Some(content_type), "{name}");
    }
    server.stop_with_clients();
}

#[test]
fn that_nobody_reads_take_no_memory() {
    const READERS: usize = 20;
    let root = Folder::new();
    fs::write(root.join("index.html"), "index").unwrap();
    sparse(&root.join("huge"), 1 << 32);
    let server = Server::start(
        program()
            .args(["--listen", "127.0.0.1:0", "--timeout", SHORT, "--root"])
            .arg(&*root)
            .env("RUST_LOG", "http_server=info"),
    );
    assert_sound(&server);
    let before = server.peak_memory();
    let requests = "GET /huge HTTP/1.1\r\nHost: h\r\n\r\n".repeat(10_000);
    let mut clients: Vec<Client> = (0..READERS).map(|_| Client::new(&server)).collect();
    for client in &mut clients {
        // As much as the kernel takes: the server does not read on either.
        client.0.get_ref().socket().set_nonblocking(true).unwrap();
        let _ = client.0.get_mut().write(requests.as_bytes());
    }
    let mut given_up = 0;
    while given_up < READERS {
        given_up += usize::from(server.program.error_line().ends_with("does not read"));
    }
    let grown = server.peak_memory() - before;
    assert!(grown / READERS < 1_000_000, "{grown} bytes for {READERS}");
    assert_sound(&server);
}

#[test]
pub(super) fn a_file_that_shrinks_is_not_taken_for_whole() {
    const LEN: u64 = 1 << 30;
    let root = Folder::new();
    fs::write(root.join("index.html"), "index").unwrap();
    sparse(&root.join("file"), LEN);
    let server = serving(&root);
    let mut client = Client::new(&server);
    client.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!(head.field("Content-Length"), Some("1073741824"));
    sparse(&root.join("file"), 1);
    let end = io::copy(&mut client.0, &mut io::sink());
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_sound(&server);
    assert_eq!(get(&server, "/file").body, [0]);
}
