//! Sorts expenses into accounts by words in their texts. What fits no account, or several, a person is asked about; the others go on.
//!
//! With a page the questions wait on its tab *People*; `--once` has a program answer, and prints the sums.

use std::{collections::BTreeMap, error::Error, time::Duration};

use eddyline::prelude::*;
use serde::{Deserialize, Serialize};

/// A row of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Expense {
    id: u32,
    text: String,
    cents: u64,
}

/// An expense, and the accounts that it may belong to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Booking {
    expense: Expense,
    account: Vec<String>,
}

/// Accounts, with words that speak for them.
const ACCOUNTS: [(&str, &[&str]); 4] = [
    ("travel", &["taxi", "train", "bus", "parking", "ferry", "rental car"]),
    ("lodging", &["hotel", "cabin", "room"]),
    ("meals", &["lunch", "dinner", "breakfast", "coffee"]),
    ("office", &["paper", "cable", "notebook", "stand", "desk"]),
];
/// Above this a notebook is no notepad, and whatever one word says is looked at.
const MUCH_CENTS: u64 = 30_000;

fn book(expense: Expense) -> Booking {
    let text = expense.text.to_lowercase();
    let fits = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let account = ACCOUNTS.iter().filter(|(_, words)| fits(words)).map(|(account, _)| (*account).to_owned());
    Booking { account: account.collect(), expense }
}

fn judge(booking: &Booking) -> Verdict<Booking> {
    let expense = &booking.expense;
    if booking.account.len() == 1 && expense.cents < MUCH_CENTS {
        return Verdict::Pass;
    }
    // What its words speak for, or else all.
    let likely = booking.account.clone();
    let all = ACCOUNTS.iter().map(|(account, _)| (*account).to_owned());
    let likely = if likely.is_empty() { all.collect() } else { likely };
    let candidate = |account| Booking { account: vec![account], expense: expense.clone() };
    Verdict::Escalate(
        Question::new(
            format!("Which account is \"{}\" for {:.2}?", expense.text, expense.cents as f64 / 100.0),
            Duration::from_secs(8 * 3600),
            Answer::reject("nobody knew the account"),
        )
        .candidates(likely.into_iter().map(candidate)),
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let (listen, token) = (value("--listen"), value("--token"));
    let once = args.iter().any(|arg| arg == "--once");
    if !once && !args.is_empty() && listen.is_none() && token.is_none() {
        println!("expenses [--listen 127.0.0.1:8080]   ask on the page's tab People, until all is answered");
        println!("         [--token WORD]               nobody steers it who does not say this");
        println!("expenses --once                      have a program answer, print the sums");
        return Ok(());
    }

    let flow = Workflow::new("expenses");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/expenses/expenses.csv");
    let (booked, clerks) = flow
        .csv::<Expense>("expenses", file)
        .map(book)
        .named("book")
        .handle("clear", judge)
        .escalate_to("clerks");
    let booked = booked.collect().named("ledger");
    let mut report = if once {
        // It always takes what comes first.
        clerks.answered_by(|_, question| question.candidates.first().cloned().map(Answer::Replace));
        flow.run().await?
    } else {
        let page = web_ui::on(listen.map_or("127.0.0.1:8080", String::as_str));
        flow.run_with(match token {
            Some(token) => page.token(token),
            None => page,
        })
        .await?
    };
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for booking in report.take(booked) {
        *sums.entry(booking.account.join(" or ")).or_default() += booking.expense.cents;
    }
    for (account, cents) in sums {
        println!("{account:8} {:8.2}", cents as f64 / 100.0);
    }
    print!("{report}");
    Ok(())
}
