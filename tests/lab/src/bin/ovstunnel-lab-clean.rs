//! Removes what is left of labs whose process is dead. Labs in use are not touched, nor anything that is not a lab's.

fn main() -> anyhow::Result<()> {
    let removed = ovstunnel_lab::remove_leftovers()?;
    match removed.as_slice() {
        [] => println!("nothing left over"),
        labs => labs.iter().for_each(|lab| println!("removed {lab}")),
    }
    Ok(())
}
