//! `eddyline devices`: what there is to run models on, and what is not and why.

use eddyline_runtime::engine::found::found;

pub fn run() {
    for device in found() {
        match device.what {
            Ok(what) => println!("{:<12} yes  {what}", device.engine),
            Err(why) => println!("{:<12} no   {why}", device.engine),
        }
    }
}
