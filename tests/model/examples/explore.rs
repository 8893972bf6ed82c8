//! Explores every world, breaks the protocol in every way, and prints what was found:
//! `cargo run -p rollcall-model --example explore`. With the name of a mutation, such as `NoProof`,
//! it tells how that one goes wrong.
#![allow(clippy::print_stdout, reason = "this program's output is its purpose")]

use std::error::Error;

use rollcall_model::{Mutation, World, counterexample, explore, named};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return tell(&name);
    }
    for world in World::all() {
        let name = world.name;
        let explored = explore(world)?;
        println!(
            "{name}: {} states, {} steps",
            explored.states, explored.steps
        );
        for verdict in &explored.verdicts {
            let word = match (verdict.is_good, verdict.is_possibility) {
                (true, true) => "possible",
                (true, false) => "holds",
                (false, true) => "NEVER HAPPENS",
                (false, false) => "VIOLATED",
            };
            println!("  {word:<13} {}", verdict.property);
        }
    }
    println!("the protocol with one line taken out:");
    for mutation in Mutation::ALL {
        let property = mutation.breaks();
        let found = counterexample(mutation.world(), &[mutation], property)?;
        match found {
            Some(story) => {
                let (mutation, steps) = (format!("{mutation:?}"), story.len());
                println!("  {mutation:<30} violated after {steps:>2} steps: {property}");
            }
            None => println!("  {mutation:?} WAS NOT NOTICED: {property}"),
        }
    }
    Ok(())
}

fn tell(name: &str) -> Result<(), Box<dyn Error>> {
    let one = Mutation::ALL.into_iter().find(|m| format!("{m:?}") == name);
    let (mutations, property, world) = match one {
        Some(one) => (vec![one], one.breaks(), one.world()),
        None if name == "TheIncident" => (
            Mutation::THE_INCIDENT.to_vec(),
            named::NOBODY_WHO_IS_THERE,
            World::protocol(),
        ),
        None => return Err(format!("{name} is neither a mutation nor TheIncident").into()),
    };
    println!("{name} violates: {property}");
    for step in counterexample(world, &mutations, property)?.unwrap_or_default() {
        println!("  {step}");
    }
    Ok(())
}
