#![doc = include_str!("../docs/guide/figures/definitions.md")]
#![doc = include_str!("../docs/guide/README.md")]
// The listings are pieces of programs. The tests of the package `guide` compare them with what compiles.
#![allow(rustdoc::invalid_rust_codeblocks)]

// Of two definitions of a link the first one counts. Those of rustdoc come before those of GitHub.
macro_rules! chapters {
    ($($module:ident $file:literal)*) => {
        $(
            #[doc = include_str!("../docs/guide/figures/definitions.md")]
            #[doc = include_str!(concat!("../docs/guide/", $file, ".md"))]
            pub mod $module {}
        )*
    };
}

chapters! {
    ch00 "00-what-is-it"
    ch01 "01-who-waits"
    ch02 "02-why-not-threads"
    ch03 "03-can-one-thread-do-it"
    ch04 "04-who-tells-me"
    ch05 "05-what-if-they-do-not-take-it"
    ch06 "06-what-is-ours"
    ch07 "07-in-which-order"
    ch08 "08-until-when"
    ch09 "09-how-much"
    ch10 "10-how-does-it-end"
    ch11 "11-who-else"
    ch12 "12-what-does-the-real-one-add"
    ch13 "13-can-i-see-it"
    ch14 "14-when-is-it-worth-it"
    ch15 "15-where-was-i"
    glossary "glossary"
}
