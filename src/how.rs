//! **How do I…?** One page for each task, with code that is tested.

macro_rules! pages {
    ($($page:ident)*) => {
        $(
            #[doc = include_str!(concat!("../docs/how/", stringify!($page), ".md"))]
            pub mod $page {}
        )*
    };
}

pages! {
    share_state
    talk_to_another
    answer_later
    join_two
    time_out
    drain
    embed
    call_in
    take_over
    encrypt
    stand_behind_a_proxy
    log
    test
    watch
    measure
}

// `await` alone is a word of the language.
#[doc = include_str!("../docs/how/await.md")]
pub mod use_await {}
