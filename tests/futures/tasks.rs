//! Tasks: spawning, joining, aborting, panics, the end of a run.

use crocus::futures::*;

use crate::util::World;

both! {
    fn a_task_runs_to_its_end_and_its_handle_gives_the_output(world) {
        let task = spawn(world.reactor(), async { 6 * 7 });
        assert!(!task.is_finished());
        world.run().unwrap();
        assert_eq!(task.take().unwrap().unwrap(), 42);
        assert_eq!(task_count(world.reactor()), 0);
    }
}
