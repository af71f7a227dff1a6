//! Exercise 14, predict, solved: as the run in `docs/experiment.md` has it.

fn main() {
    println!("calm: blocking, blocking-4096, threads, reactor");
    println!("stampede: blocking-4096, threads, reactor");
    println!("slow-source: blocking-4096, threads, reactor");
    println!("silent-client: threads, reactor");
    println!("stalled-reader: threads, reactor");
    println!("few-descriptors: blocking-4096, threads, reactor");
    println!("dribble: blocking-4096, threads, reactor");
}
