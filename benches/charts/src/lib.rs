//! Pictures and tables of measurements: the one place where the experiment and the comparison draw
//! them.
//!
//! A picture is an SVG file that needs nothing else. It brings its colours for light and dark, and
//! takes the font of the reader. Words, dashes and marks tell the differences, not colour alone, and
//! the figures stand in the file as text too.
//!
//! | module | has |
//! |---|---|
//! | [`sheet`] | a picture: a head, and panels in columns |
//! | [`curves`], [`bars`], [`cloud`] | the kinds of panels |
//! | [`table`] | a table, as Markdown and for a terminal |
//! | [`number`] | numbers with three digits that count and a unit |
//! | [`svg`] | the little of SVG that these need; the figures of the guide use it too |
#![forbid(unsafe_code)]

mod axis;
pub mod bars;
pub mod cloud;
mod curve;
pub mod curves;
pub mod number;
pub mod sheet;
mod style;
pub mod svg;
pub mod table;
