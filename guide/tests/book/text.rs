//! The pages of `docs/guide` as values: blocks of code, links, anchors and prose.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("guide/ stands in the repository")
        .to_owned()
}

/// One page of the guide.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its file's name: `04-who-tells-me.md`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A block of code.
#[derive(Debug)]
pub(crate) struct Block {
    /// The first word behind the fence.
    pub(crate) language: String,
    pub(crate) text: String,
    /// The line in which its fence stands, from 1.
    pub(crate) line: usize,
    /// The last line with text before the fence.
    pub(crate) above: String,
}

/// A link or an image, as it is written and as it is resolved.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) target: String,
    /// The label, if it is a reference.
    pub(crate) label: Option<String>,
    pub(crate) image: bool,
}

/// All pages, chapters first, in the order of their names.
pub(crate) fn pages() -> Vec<Page> {
    let folder = root().join("docs/guide");
    let entries = fs::read_dir(&folder).expect("docs/guide is there");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry.expect("the folder can be read").file_name().into_string().expect("plain names")
        })
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    let read = |name: String| {
        let text = fs::read_to_string(folder.join(&name)).expect("a page can be read");
        Page { name, text }
    };
    names.into_iter().map(read).collect()
}

/// The chapters, without the index and the glossary.
pub(crate) fn chapters() -> Vec<Page> {
    let chapters: Vec<_> = pages().into_iter().filter(|page| page.number().is_some()).collect();
    assert!(!chapters.is_empty(), "the chapters are found");
    chapters
}

impl Page {
    /// The number of a chapter.
    pub(crate) fn number(&self) -> Option<usize> {
        self.name.split_once('-')?.0.parse().ok()
    }

    fn parser(&self) -> Parser<'_> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut language = None;
        for (event, range) in self.parser().into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    language = Some((info, String::new()));
                }
                Event::Text(text) if language.is_some() => {
                    language.as_mut().expect("just seen").1.push_str(&text);
                }
                Event::End(TagEnd::CodeBlock) => {
                    let Some((info, text)) = language.take() else { continue };
                    let before = &self.text[..range.start];
                    let above =
                        before.lines().rfind(|line| !line.trim_matches(['>', ' ']).is_empty());
                    let line = before.lines().count() + usize::from(before.ends_with('\n'));
                    let above = above.unwrap_or_default().to_owned();
                    let language = info.split([' ', ',']).next().unwrap_or_default().to_owned();
                    blocks.push(Block { language, text, line, above });
                }
                _ => {}
            }
        }
        blocks
    }

    /// Each link and image, with its resolved target.
    pub(crate) fn links(&self) -> Vec<Link> {
        let links = self.parser().filter_map(|event| match event {
            Event::Start(Tag::Link { link_type, dest_url, id, .. }) => {
                Some(link(link_type, &dest_url, id, false))
            }
            Event::Start(Tag::Image { link_type, dest_url, id, .. }) => {
                Some(link(link_type, &dest_url, id, true))
            }
            _ => None,
        });
        links.collect()
    }

    /// `[text][label]` whose label is defined nowhere, which a reader sees as brackets.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let note = |link: pulldown_cmark::BrokenLink<'_>| {
            broken.push(link.reference.to_string());
            None
        };
        Parser::new_with_broken_link_callback(&self.text, Options::ENABLE_TABLES, Some(note))
            .for_each(drop);
        broken
    }

    /// The anchors of its headings. GitHub and rustdoc make the same ones of plain headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for heading in self.headings() {
            let slug = slug(&heading);
            let same = anchors.iter().filter(|other| *other == &slug).count();
            assert_eq!(same, 0, "{}: two headings are called {heading}", self.name);
            anchors.push(slug);
        }
        anchors
    }

    pub(crate) fn headings(&self) -> Vec<String> {
        let mut headings = Vec::new();
        let mut open = None;
        for event in self.parser() {
            match event {
                Event::Start(Tag::Heading { .. }) => open = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => headings.extend(open.take()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut open {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        headings
    }

    /// The text below a heading of the second level, up to the next one.
    pub(crate) fn section(&self, heading: &str) -> Option<&str> {
        let begin = self.text.find(&format!("\n## {heading}\n"))?;
        let rest = &self.text[begin + 4..];
        Some(rest.split("\n## ").next().unwrap_or(rest))
    }

    /// The parts that are read as text: paragraphs, lists and tables, in which a strong word has its stars. Neither
    /// headings nor code.
    pub(crate) fn prose(&self) -> String {
        let mut prose = String::new();
        let mut silent = false;
        for event in self.parser() {
            match event {
                Event::Start(Tag::CodeBlock(_) | Tag::Heading { .. } | Tag::Image { .. }) => {
                    silent = true;
                }
                Event::End(TagEnd::CodeBlock | TagEnd::Heading(_) | TagEnd::Image) => {
                    silent = false;
                }
                Event::Start(Tag::Strong) | Event::End(TagEnd::Strong) => prose.push_str("**"),
                Event::Text(text) if !silent => prose.push_str(&text),
                Event::Code(_) if !silent => prose.push_str("`code`"),
                Event::SoftBreak => prose.push(' '),
                Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell) => {
                    prose.push('\n');
                }
                _ => {}
            }
        }
        prose
    }
}

fn link(kind: LinkType, target: &CowStr<'_>, id: CowStr<'_>, image: bool) -> Link {
    let by_label = matches!(kind, LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut);
    Link { target: target.to_string(), label: by_label.then(|| id.to_string()), image }
}

/// The anchor of a heading.
pub(crate) fn slug(heading: &str) -> String {
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    letters.collect()
}
