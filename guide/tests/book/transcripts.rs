//! The transcript of a run as a story: each line has its lane, and some come from another one.

use std::fs;

use crate::drawing::story::{Event, Look, Phase, Story};
use crate::text::root;

/// A line of a transcript for turns that are left out.
pub(crate) const REPEATED: &str = "...";

/// Which lines of a transcript a figure shows, and how.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The run: `04x` is in `guide/transcripts/04x.txt`.
    pub(crate) run: &'static str,
    pub(crate) title: &'static str,
    /// The first line that is shown, and how many.
    pub(crate) from: usize,
    pub(crate) count: usize,
    /// Parts of lines that are what goes wrong.
    pub(crate) bad: &'static [&'static str],
    /// Parts of lines, and the lanes that wait from there on.
    pub(crate) waits: &'static [(&'static str, &'static str)],
}

impl Cut {
    /// Some lines of a run, in which nothing is marked.
    pub(crate) const fn of(
        run: &'static str,
        title: &'static str,
        from: usize,
        count: usize,
    ) -> Self {
        Self { run, title, from, count, bad: &[], waits: &[] }
    }
}

/// One line: `PLACE | WHO | EVENT`.
#[derive(Debug)]
struct Line<'a> {
    place: &'a str,
    who: &'a str,
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Self {
        if text == REPEATED {
            return Self { place: "reactor", who: "-" };
        }
        let mut parts = text.splitn(3, " | ");
        let [Some(place), Some(who), Some(_)] = [parts.next(), parts.next(), parts.next()] else {
            panic!("no line of a log: {text}");
        };
        Self { place, who }
    }

    fn phase(&self) -> Option<Phase> {
        match self.place {
            "kernel" => Some(Phase::Sleep),
            "server" => Some(Phase::Serve), // the first loops have no other phases
            place => Phase::ALL.into_iter().find(|phase| phase.name() == place),
        }
    }

    fn lane(&self) -> String {
        match self.place {
            "peer" if self.who == "-" => "the server".to_owned(),
            "peer" => format!("client {}", self.who.trim_start_matches('#')),
            "sleep" | "kernel" => "kernel".to_owned(),
            "code" => "your code".to_owned(),
            "main" | "server" => "the server".to_owned(),
            "reactor" => "reactor".to_owned(),
            "thread" => "thread".to_owned(),
            place if place.starts_with("thread") => place.to_owned(),
            _ if self.phase().is_some() || self.place == "reactor" => "reactor".to_owned(),
            place => panic!("no lane for {place}"),
        }
    }

    fn client(&self) -> Option<String> {
        self.who.strip_prefix('#').map(|number| format!("client {number}"))
    }
}

/// The part of a run that a figure shows.
pub(crate) fn story(cut: &Cut) -> Story {
    let path = root().join("guide/transcripts").join(cut.run).with_extension("txt");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let is_reactor = |text: &str| Line::of(text).lane() == "reactor";
    let caller = if text.lines().any(is_reactor) { "reactor" } else { "the server" };
    let (mut turn, mut turns, mut phase) = (None, 0, None);
    let mut events = Vec::new();
    for text in text.lines() {
        let line = Line::of(text);
        if let Some(number) = line.who.strip_prefix("turn ") {
            turns += 1;
            turn = Some((turns, number.replace("[..]", "\u{2026}")));
        }
        // Your code is called in the phase of the line before, unless it is a call.
        phase = if text.ends_with(" a call") { Some(Phase::Calls) } else { line.phase().or(phase) };
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        let look = if has(cut.bad) { Look::Bad } else { Look::Plain };
        if text.ends_with("for nothing") {
            phase = None;
        }
        let outside = line.place == "peer" || line.place == "thread" || text == REPEATED;
        events.push(Event {
            lane: line.lane(),
            from: (line.place == "code").then(|| caller.to_owned()),
            to: None,
            client: line.client(),
            text: text.to_owned(),
            look,
            turn: turn.clone().filter(|_| !outside),
            phase: phase.filter(|_| !outside),
        });
        if text.ends_with("for nothing") {
            turn = None; // and in which of many turns the next line comes, the log does not say
        }
    }
    let all = events.len();
    let events: Vec<_> = events.into_iter().skip(cut.from - 1).take(cut.count).collect();
    assert_eq!(events.len(), cut.count, "{} has {all} lines", cut.run);
    let shown = |part: &&str| events.iter().any(|event| event.text.contains(*part));
    assert!(cut.bad.iter().all(shown), "{}: what is bad is not in the figure", cut.run);
    let mut story = Story::of(cut.title, events);
    cut.waits.iter().for_each(|(text, lane)| story.wait(text, lane));
    story
}
