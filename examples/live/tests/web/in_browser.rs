//! The page in Chromium.

use std::io::{Read, Write};
use std::path::Path;

use crate::Live;
use crate::child::dial;
use crate::driver::Browser;

/// Checks that the console is empty, and that nothing was asked for elsewhere.
fn check_manners(browser: &Browser, origin: &str) {
    assert_eq!(browser.console(), [""; 0]);
    for url in browser.requests() {
        let own = url.starts_with(origin) || url.starts_with("data:") || url.starts_with("blob:");
        assert!(own, "{url}");
    }
}

#[test]
fn points_on_the_screen_are_the_points_sent() {
    let Some(browser) = Browser::start() else { return };
    let live = Live::start(&[]);
    browser.open(&live.url());
    for _ in 0..40 {
        dial(live.addr()).read_to_end(&mut Vec::new()).unwrap();
    }
    browser.until("document.getElementById('count').dataset.count === '80'");
    browser.until("document.getElementById('counter-closed').textContent === '40'");
    // At each point a pixel is not the background.
    let missing = "(canvas => {
        const { width, height } = canvas, { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
        const column = x => Math.floor((x / 1e4 + 1) / 2 * width), row = y => Math.floor((1 - (y / 1e4 + 1) / 2) * height);
        return points.filter(([x, y]) => data[(row(y) * width + column(x)) * 4 + 3] === 0).length;
    })(document.getElementById('square'))";
    assert_eq!(browser.value("points.length"), 80);
    assert_eq!(browser.value(missing), 0);
    check_manners(&browser, &live.url());
}

#[test]
fn each_phase_lights_up_when_it_does_something() {
    let Some(browser) = Browser::start() else { return };
    let live = Live::start(&["--chat"]);
    browser.open(&live.url());
    browser.until("heard > 0");
    let (mut first, mut second) = (dial(live.addr()), dial(live.addr()));
    first.read_exact(&mut [0; 6]).unwrap(); // the other one is announced
    second.write_all(b"hello\n").unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("say something") {
        let mut byte = [0];
        first.read_exact(&mut byte).unwrap();
        heard.extend(byte);
    }
    for phase in ["sleep", "latch", "timers", "serve", "calls", "flush"] {
        // Somewhere in the recorded turns.
        let lit = format!(
            "turns.some((_, i) => {{ go(i); return document.getElementById('phase-{phase}').className === 'did'; }})"
        );
        browser.until(&lit);
    }
    check_manners(&browser, &live.url());
}

const SHOWN: &str =
    "document.getElementById('turn').textContent + document.getElementById('phases').innerText";

#[test]
fn stepping_back_shows_the_same_turn_and_a_recording_replays() {
    let Some(browser) = Browser::start() else { return };
    let live = Live::start(&["--echo"]);
    browser.open(&live.url());
    let mut client = dial(live.addr());
    for round in 0..20 {
        client.write_all(&[b'x'; 10][..=round % 10]).unwrap();
        client.read_exact(&mut vec![0; round % 10 + 1]).unwrap();
    }
    browser.until("turns.length >= 10");
    browser.click("#pause");
    browser.until("document.getElementById('state').textContent === 'paused'");
    let here = browser.text(SHOWN);
    browser.click("#back");
    let before = browser.text(SHOWN);
    assert!(here != before && here.starts_with("Turn "), "{here}");
    browser.click("#step");
    assert_eq!(browser.text(SHOWN), here);
    browser.click("#back");
    assert_eq!(browser.text(SHOWN), before);
    // By keyboard and by the slider too.
    browser.type_into("body", "\u{e014}"); // the right arrow
    assert_eq!(browser.text(SHOWN), here);
    browser.type_into("#slider", "\u{e012}"); // the left arrow
    assert_eq!(browser.text(SHOWN), before);
    let recording = browser
        .text("JSON.stringify({ crocus: 1, about, frames, turns, points, pointed, firstFrame })");
    check_manners(&browser, &live.url());

    let file = std::env::temp_dir().join(format!("crocus-recording-{}.json", std::process::id()));
    std::fs::write(&file, recording).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page.html");
    browser.open(&format!("file://{}", page.display()));
    browser.until("document.getElementById('state').textContent === 'no server'");
    browser.type_into("#open", file.to_str().unwrap());
    browser.until("document.getElementById('state').textContent.startsWith('recording')");
    let wanted = before.replace('\\', "\\\\");
    let wanted = wanted.split('\n').next().unwrap();
    let found =
        format!("turns.some((_, i) => {{ go(i); return ({SHOWN}).startsWith({wanted:?}); }})");
    browser.until(&found);
    assert_eq!(browser.text(SHOWN), before);
    std::fs::remove_file(file).unwrap();
    assert_eq!(browser.console(), [""; 0]);
    let asked = browser.requests();
    assert!(asked.iter().all(|url| !url.starts_with("http")), "{asked:?}");
}

#[test]
fn a_blocked_callback_and_a_server_that_is_gone_are_told() {
    let Some(browser) = Browser::start() else { return };
    let live = Live::start(&["--echo", "--slow", "4000"]);
    browser.open(&live.url());
    browser.until("document.getElementById('state').textContent === 'live' && heard > 0");
    let mut client = dial(live.addr());
    browser.until("document.getElementById('counter-accepted').textContent === '1'");
    client.write_all(b"x").unwrap();
    let alarm = "document.getElementById('alarm').textContent";
    browser.until(&format!(
        "{alarm}.startsWith('The reactor is inside a callback: nothing heard for ')"
    ));
    browser.until(&format!("{alarm} === ''"));
    let told =
        "document.getElementById('remarks').textContent.includes('data_received of connection #')";
    browser.until(told);
    assert_eq!(browser.console(), [""; 0]);
    client.read_exact(&mut [0; 1]).unwrap();
    drop(client);
    browser.until("document.getElementById('counter-closed').textContent === '1'");
    drop(live);
    browser.until(&format!("{alarm}.startsWith('The server is gone')"));
    assert_eq!(browser.text("document.getElementById('state').textContent"), "server gone");
    browser.click("#back");
    assert_eq!(browser.value("turns.length > 2"), true, "the recording stays");
}

#[test]
fn markup_that_a_peer_sends_stays_text() {
    let Some(browser) = Browser::start() else { return };
    let live = Live::start(&["--chat"]);
    browser.open(&live.url());
    browser.until("heard > 0");
    let evil = "<img src=x onerror='window.broken=1'><script>window.broken=1</script>";
    dial(live.addr()).write_all(format!("/quit {evil}\n").as_bytes()).unwrap();
    browser.until("document.getElementById('ended').textContent.includes('<img src=x')");
    assert_eq!(browser.value("document.images.length + document.scripts.length"), 1);
    assert_eq!(browser.value("window.broken === undefined"), true);
    // The same in every text of a frame, as a recording that somebody else made may have it.
    let everywhere = format!(
        "(evil => {{
            const spoil = v => typeof v === 'string' ? evil : Array.isArray(v) ? v.map(spoil)
                : v && typeof v === 'object' ? Object.fromEntries(Object.entries(v).map(([k, w]) => [k, k === 'phase' || k === 'mode' ? w : spoil(w)])) : v;
            const text = JSON.stringify({{ crocus: 1, ...spoil({{ about, frames, turns, points }}), pointed, firstFrame }});
            open(new File([text], evil));
            return true;
        }})({evil:?})"
    );
    browser.until(&everywhere);
    browser.until("file !== null");
    browser.until("turns.some((_, i) => { go(i); return document.getElementById('phases').textContent.includes('<script>'); })");
    assert_eq!(browser.value("document.images.length + document.scripts.length"), 1);
    assert_eq!(browser.value("window.broken === undefined"), true);
    check_manners(&browser, &live.url());
}

#[test]
fn a_narrow_window_needs_no_scrolling_sideways() {
    let Some(browser) = Browser::start() else { return };
    let live = Live::start(&[]);
    browser.resize(400, 900);
    browser.open(&live.url());
    dial(live.addr()).read_to_end(&mut Vec::new()).unwrap();
    browser.until("turns.length > 0");
    browser.until("document.documentElement.scrollWidth <= innerWidth");
    check_manners(&browser, &live.url());
}
