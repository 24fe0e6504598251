//! What a receipt says: made up from a seed, and the truth that a reading is held against.

use eddyline::check_digit::CheckDigit;
use rand::{Rng, seq::IndexedRandom, seq::SliceRandom};
use serde::{Deserialize, Serialize};

/// Everything that is to be read of a receipt. Amounts are in cents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub merchant: String,
    pub street: String,
    /// As `2024-03-05`.
    pub date: String,
    /// Seven digits, the last of which is a check digit (Luhn).
    pub number: String,
    pub items: Vec<Item>,
    pub subtotal: u32,
    pub tax: u32,
    pub total: u32,
}

/// A line of the bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub name: String,
    pub price: u32,
}

/// Characters in a line.
pub const COLUMNS: usize = 30;

/// Who sells.
pub const MERCHANTS: [&str; 8] = [
    "NORTHGATE MARKET",
    "CORNER BAKERY",
    "BLUE RIVER CAFE",
    "CITY HARDWARE",
    "GREEN FARM FOODS",
    "STATION BOOKS",
    "HARBOUR PHARMACY",
    "OLD MILL GROCER",
];
const STREETS: [&str; 5] = ["High Street", "Mill Lane", "Station Road", "Quay Street", "Park Avenue"];
/// What is sold.
pub const ITEMS: [&str; 20] = [
    "Whole milk 1L",
    "Rye bread",
    "Free range eggs",
    "Olive oil 500ml",
    "Dark chocolate",
    "Bananas 1kg",
    "Coffee beans",
    "Cheddar 250g",
    "Tomato soup",
    "Orange juice",
    "Notebook A5",
    "AA batteries x4",
    "Paper towels",
    "Green tea",
    "Sea salt",
    "Brown rice 2kg",
    "Apple pie slice",
    "Mineral water",
    "LED bulb 9W",
    "Wood screws 50",
];

impl Receipt {
    /// A receipt that nobody ever got.
    pub fn invented(random: &mut impl Rng) -> Self {
        let pick = |from: &[&str], random: &mut _| from.choose(random).map_or("", |text| text).to_owned();
        let mut names = ITEMS;
        names.shuffle(random);
        let count = random.random_range(3..=6);
        let items: Vec<Item> = names[..count]
            .iter()
            .map(|name| Item { name: (*name).to_owned(), price: random.random_range(49..2500) })
            .collect();
        let total: u32 = items.iter().map(|item| item.price).sum();
        let tax = tax_in(total);
        Self {
            merchant: pick(&MERCHANTS, random),
            street: format!("{} {}", random.random_range(1..200), pick(&STREETS, random)),
            date: format!(
                "{}-{:02}-{:02}",
                random.random_range(2019..=2025),
                random.random_range(1..=12),
                random.random_range(1..=28)
            ),
            number: with_check_digit(random.random_range(100_000..1_000_000)),
            items,
            subtotal: total - tax,
            tax,
            total,
        }
    }

    /// Its lines, as they are printed.
    pub fn lines(&self) -> Vec<String> {
        let row = |name: &str, cents: u32| {
            let price = money(cents);
            format!("{name}{price:>width$}", width = COLUMNS - name.len())
        };
        let mut lines = vec![
            self.merchant.clone(),
            self.street.clone(),
            format!("Date {}", self.date),
            format!("Receipt No {}", self.number),
        ];
        lines.extend(self.items.iter().map(|item| row(&item.name, item.price)));
        lines.push(row("SUBTOTAL", self.subtotal));
        lines.push(row("VAT 20%", self.tax));
        lines.push(row("TOTAL", self.total));
        lines.push("Thank you for your visit".to_owned());
        lines
    }
}

/// The 20 % that are in a total.
pub fn tax_in(total: u32) -> u32 {
    (total + 3) / 6
}

fn with_check_digit(number: u32) -> String {
    let number = number.to_string();
    let digit = CheckDigit::Luhn.digits_for(&number).unwrap_or_default();
    number + &digit
}

/// `1234` cents as `12.34`.
pub fn money(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
