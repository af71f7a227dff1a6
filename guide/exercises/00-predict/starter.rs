//! Exercise 00, predict: what does the server write?
//!
//! A client is connected, `#1`, and the server is sleeping. Now the client sends the line `1`. Replace each `?`.

fn main() {
    println!("sleep | turn 3 | events: ?");
    println!("latch | #1 | ? and writable");
    println!("serve | #1 | read ? bytes");
    println!("flush | #1 | wrote ? bytes, 0 wait");
}
