//! The workflow, in the four ways that the table compares.

use std::error::Error;

use eddyline::{handlers::Meter, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    boxes::TextBox,
    fields::{self, Fields, Piece},
    handlers, models,
    page::Page,
};

/// One way to read receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    None,
    Drop,
    Heavy,
    Handlers,
}

impl Way {
    pub const ALL: [Way; 4] = [Way::None, Way::Drop, Way::Heavy, Way::Handlers];

    pub fn name(self) -> &'static str {
        match self {
            Way::None => "none",
            Way::Drop => "detect and drop",
            Way::Heavy => "heavy everywhere",
            Way::Handlers => "light with handlers",
        }
    }

    /// Its name among the figures of the benchmark `handlers`.
    pub fn key(self) -> &'static str {
        match self {
            Way::None => "none",
            Way::Drop => "drop",
            Way::Heavy => "heavy",
            Way::Handlers => "handlers",
        }
    }
}

/// A page, and where its text is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub page: Page,
    pub boxes: Vec<TextBox>,
}

/// A piece of a page that is to be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strip {
    pub image: Image,
    pub place: TextBox,
    pub heavily: bool,
}

/// A page that has been read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub page: Page,
    pub lines: Vec<String>,
    pub fields: Fields,
}

/// The meters of the handlers that correct.
#[derive(Clone)]
pub struct Meters {
    pub spelling: Meter<Reading>,
    pub amounts: Meter<Reading>,
}

/// A workflow that keeps few records at a time, since pages are large.
pub fn new(name: &str) -> Workflow {
    Workflow::new(name).edge_capacity(16).loop_permits(64)
}

type Made<T> = Result<T, Box<dyn Error>>;

/// Writes the workflow of a way behind `pages`; with handlers there is a desk, where people are asked.
pub fn read(
    pages: Stream<Page>,
    way: Way,
    meters: &Meters,
    memo: Option<&Memo>,
) -> Made<(Stream<Reading>, Option<Desk<Reading>>)> {
    match way {
        Way::None | Way::Heavy => Ok((read_text(find(pages, memo)?, memo)?, None)),
        Way::Drop => {
            let read = read_text(find(pages, memo)?, memo)?;
            Ok((read.handle_with("plausible", handlers::plausible()?.or_drop()), None))
        }
        Way::Handlers => {
            let pages = upright(pages, memo)?.handle("coloured", handlers::through_red_glass);
            let (pages, again) = pages.feedback("straighten", Rounds::at_most(1));
            let (pages, looks) =
                pages.alternatives("look", Page::clone).or(Page::softened).or(Page::for_the_heavy).key();
            let found = find(pages, memo)?.handle_or_retry_with("crooked", again, by(handlers::straighten));
            let read = read_text(found, memo)?
                .handle_with("spelling", handlers::spelling()?.metered(&meters.spelling))
                .handle_with("amounts", handlers::amounts().metered(&meters.amounts))
                .handle_or_next_with("plausible", &looks, handlers::look_again()?);
            let (read, desk) = read.escalate_to("clerks");
            Ok((read, Some(desk)))
        }
    }
}

fn remembering<I: Data, O: Data>(model: Model<I, O>, memo: Option<&Memo>) -> Model<I, O> {
    match memo {
        Some(memo) => model.memo(memo),
        None => model,
    }
}

/// Turns pages by right angles until their text is level.
fn upright(pages: Stream<Page>, memo: Option<&Memo>) -> Made<Stream<Page>> {
    let model = models::orientation(|page: &Page| &page.image, |page, quarters| (page.clone(), quarters))?;
    let model = remembering(model, memo);
    Ok(pages
        .model("orientation", model)
        .handle("upright", |(page, quarters)| match quarters {
            0 => Verdict::Pass,
            quarters => Verdict::Replace((page.turned(4 - quarters), 0)),
        })
        .map(|(page, _)| page))
}

/// Finds the text of pages, each by the detector that it asks for.
fn find(pages: Stream<Page>, memo: Option<&Memo>) -> Made<Stream<Found>> {
    let model = |file| -> Made<_> {
        let found = |page: &Page, boxes| Found { page: page.clone(), boxes };
        Ok(remembering(models::detector(file, |page: &Page| &page.image, found)?, memo))
    };
    let (heavily, lightly) = pages.split(|page| page.heavily);
    let light = lightly.named("which detector").model("light detector", model(models::LIGHT_DETECTOR)?);
    let heavy = heavily.model("heavy detector", model(models::HEAVY_DETECTOR)?);
    Ok(light.merge(heavy).named("found"))
}

/// Reads the text that was found, and what fields it is.
fn read_text(found: Stream<Found>, memo: Option<&Memo>) -> Made<Stream<Reading>> {
    let (strips, pages) = found.scatter(|found: &Found| {
        let strip = |place: &TextBox| Strip {
            image: found.page.image.clone(),
            place: *place,
            heavily: found.page.heavily,
        };
        found.boxes.iter().map(strip).collect::<Vec<_>>()
    });
    Ok(pieces(strips, memo)?.gather(pages, |found, pieces| {
        let lines = fields::lines(&pieces.into_values().collect::<Vec<_>>());
        Reading { fields: Fields::of(&lines), lines, page: found.page }
    }))
}

/// Reads strips, each by the reader that it asks for.
fn pieces(strips: Stream<Strip>, memo: Option<&Memo>) -> Made<Stream<Piece>> {
    let model = |file| -> Made<_> {
        let piece = |strip: &Strip, read| Piece { place: strip.place, read };
        Ok(remembering(models::reader(file, |strip: &Strip| (&strip.image, strip.place), piece)?, memo))
    };
    let (heavily, lightly) = strips.split(|strip| strip.heavily);
    let light = lightly.named("which reader").model("light reader", model(models::LIGHT_READER)?);
    let heavy = heavily.model("heavy reader", model(models::HEAVY_READER)?);
    Ok(light.merge(heavy).named("pieces"))
}
