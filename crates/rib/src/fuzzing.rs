//! Entry points for fuzzing: any octets are a sequence of operations on a shard, which must end where
//! a naive model ends.

mod model;
mod world;

/// Octets of one step.
const STEP_LEN: usize = 24;

/// Octets as decisions; zeros when they run out.
#[derive(Debug)]
struct Dice<'a> {
    rest: &'a [u8],
}

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        usize::from(*first) % sides.max(1)
    }
}

/// Peers announce, restart and go, policies flip, members join, stall and read, rings fill up: at the
/// end each member must hold what the model says, and when all is taken down nothing may be left.
///
/// # Panics
/// Where shard and model disagree.
pub fn fuzz_rib_ops(data: &[u8]) {
    let mut dice = Dice { rest: data };
    let mut world = world::World::new(&mut dice);
    // Each step has octets of its own: one that goes changes no other.
    for rest in dice.rest.chunks(STEP_LEN) {
        world.step(&mut Dice { rest });
    }
    world.settle();
    world.check();
    world.take_down();
}

#[cfg(test)]
mod tests;
