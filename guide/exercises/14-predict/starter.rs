//! Exercise 14, predict: which servers serve all clients under which constraint?
//!
//! Replace each `?` by the names of those that do, in this order: `blocking`, `blocking-4096`, `threads`,
//! `reactor`. Put a comma and a blank between them.

fn main() {
    println!("calm: ?");
    println!("stampede: ?");
    println!("slow-source: ?");
    println!("silent-client: ?");
    println!("stalled-reader: ?");
    println!("few-descriptors: ?");
    println!("dribble: ?");
}
