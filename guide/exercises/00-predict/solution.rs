//! Exercise 00, predict, solved.

fn main() {
    println!("sleep | turn 3 | events: 1");
    println!("latch | #1 | readable and writable");
    println!("serve | #1 | read 2 bytes");
    println!("flush | #1 | wrote 81 bytes, 0 wait");
}
