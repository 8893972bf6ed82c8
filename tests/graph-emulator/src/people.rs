//! Synthetic people: the same ones for the same seed, with all that makes real directories awkward.

use std::collections::HashMap;

use fastrand::Rng;
use uuid::{Builder, Uuid};

use crate::user::User;

/// Who lives in a directory. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    /// How many users the directory starts with.
    pub users: usize,
    /// The same seed makes the same people.
    pub seed: u64,
    /// The domain of the members' login names.
    pub domain: String,
    /// The share of guests, whose login names carry `#EXT#`.
    pub guests: f64,
    /// The share of disabled accounts.
    pub disabled: f64,
    /// The share of members without a mail address.
    pub null_mail: f64,
    /// The share of users whose `userType` is null, as in old directories.
    pub null_user_type: f64,
}

impl Population {
    /// A population as it is found in a company: 8 % guests, 3 % disabled, 5 % without mail.
    #[must_use]
    pub fn new(domain: &str, seed: u64, users: usize) -> Self {
        Self {
            users,
            seed,
            domain: domain.to_owned(),
            guests: 0.08,
            disabled: 0.03,
            null_mail: 0.05,
            null_user_type: 0.0,
        }
    }
}

/// A name as it is shown, and as it is written in a login name: no rule makes the one of the other.
type Name = (&'static str, &'static str);

const GIVEN: [Name; 56] = [
    ("Adele", "adele"),
    ("Zoë", "zoë"),
    ("太郎", "太郎"),
    ("花子", "花子"),
    ("Siobhán", "siobhan"),
    ("José", "jose"),
    ("Łukasz", "lukasz"),
    ("Андрей", "andrey"),
    ("Ольга", "olga"),
    ("Müge", "muge"),
    ("İbrahim", "ibrahim"),
    ("Chloé", "chloe"),
    ("Björn", "bjorn"),
    ("Søren", "soren"),
    ("Ángel", "angel"),
    ("Νίκος", "nikos"),
    ("Fatima", "fatima"),
    ("محمد", "mohammed"),
    ("נועה", "noa"),
    ("Priya", "priya"),
    ("Rahul", "rahul"),
    ("Wei", "wei"),
    ("Min-jun", "min-jun"),
    ("Nguyễn", "nguyen"),
    ("Amara", "amara"),
    ("Kwame", "kwame"),
    ("Mary Jane", "mary.jane"),
    ("Jean-Luc", "jean-luc"),
    ("Anne-Marie", "anne-marie"),
    ("D'Arcy", "d'arcy"),
    ("Alex", "alex"),
    ("Ben", "ben"),
    ("Carla", "carla"),
    ("David", "david"),
    ("Emma", "emma"),
    ("Felix", "felix"),
    ("Grace", "grace"),
    ("Henry", "henry"),
    ("Isabel", "isabel"),
    ("Jack", "jack"),
    ("Kim", "kim"),
    ("Liam", "liam"),
    ("Mia", "mia"),
    ("Noah", "noah"),
    ("Olivia", "olivia"),
    ("Peter", "peter"),
    ("Quentin", "quentin"),
    ("Rosa", "rosa"),
    ("Sam", "sam"),
    ("Tess", "tess"),
    ("Uma", "uma"),
    ("Victor", "victor"),
    ("Wanda", "wanda"),
    ("Xavier", "xavier"),
    ("Yara", "yara"),
    ("Zach", "zach"),
];

const SURNAMES: [Name; 48] = [
    ("Vance", "vance"),
    ("Müller", "müller"),
    ("O'Brien", "o'brien"),
    ("D'Angelo", "d'angelo"),
    ("山田", "山田"),
    ("佐藤", "sato"),
    ("García", "garcia"),
    ("Nuñez", "nunez"),
    ("Gonçalves", "goncalves"),
    ("Wiśniewski", "wisniewski"),
    ("Dvořák", "dvorak"),
    ("Иванов", "ivanov"),
    ("Παπαδόπουλος", "papadopoulos"),
    ("Öztürk", "ozturk"),
    ("Åkesson", "akesson"),
    ("Ødegård", "odegard"),
    ("Weiß", "weiss"),
    ("van der Berg", "vanderberg"),
    ("de la Cruz", "delacruz"),
    ("Smith-Jones", "smith-jones"),
    ("Al-Sayed", "al-sayed"),
    ("Cohen", "cohen"),
    ("Okafor", "okafor"),
    ("Mensah", "mensah"),
    ("Patel", "patel"),
    ("Sharma", "sharma"),
    ("Chen", "chen"),
    ("Kim", "kim"),
    ("Trần", "tran"),
    ("Ng", "ng"),
    ("Baker", "baker"),
    ("Clark", "clark"),
    ("Davies", "davies"),
    ("Evans", "evans"),
    ("Fischer", "fischer"),
    ("Green", "green"),
    ("Hughes", "hughes"),
    ("Ito", "ito"),
    ("Jones", "jones"),
    ("King", "king"),
    ("Lopez", "lopez"),
    ("Moore", "moore"),
    ("Null", "null"),
    ("Owens", "owens"),
    ("Price", "price"),
    ("Rossi", "rossi"),
    ("Test", "test"),
    ("Young", "young"),
];

const DEPARTMENTS: [&str; 10] = [
    "Engineering",
    "Sales",
    "Human Resources",
    "Finance",
    "Legal & Compliance",
    "Research",
    "Support",
    "Vertrieb Süd",
    "営業部",
    "Facilities",
];

const JOB_TITLES: [&str; 8] = [
    "Engineer",
    "Senior Engineer",
    "Account Manager",
    "Analyst",
    "Team Lead",
    "Counsel",
    "Assistant",
    "Director",
];

const PARTNERS: [&str; 5] = [
    "fabrikam.com",
    "adatum.com",
    "woodgrovebank.com",
    "xn--mller-kva.example",
    "gmail.com",
];

/// Five login names that every population has, if it is large enough: each broke somebody's sync.
const AWKWARD: [(&str, &str, &str); 5] = [
    ("o'brien+test", "Pat", "O'Brien"),
    ("zoë.müller", "Zoë", "Müller"),
    ("太郎", "太郎", "山田"),
    ("Adele.Vance", "Adele", "Vance"),
    ("SVC_Backup", "Backup", "Service"),
];

/// A source of people without end, no two of whom have the same login name.
#[derive(Debug)]
pub(crate) struct People {
    population: Population,
    rng: Rng,
    made: usize,
    /// How often each login name was wanted, case-folded.
    wanted: HashMap<String, u32>,
}

impl People {
    pub(crate) fn new(population: Population) -> Self {
        Self {
            rng: Rng::with_seed(population.seed),
            population,
            made: 0,
            wanted: HashMap::new(),
        }
    }

    pub(crate) fn next(&mut self, now_ms: u64) -> User {
        let number = self.made;
        self.made += 1;
        let mut user = match AWKWARD.get(number) {
            Some((login, given, surname)) => self.member(login, given, surname),
            None if self.draws(self.population.guests) => self.guest(),
            None => {
                let (given, surname) = (self.pick(&GIVEN), self.pick(&SURNAMES));
                let login = self.login(given.1, surname.1);
                self.member(&login, given.0, surname.0)
            }
        };
        user.id = random_uuid(&mut self.rng);
        user.account_enabled = Some(!self.draws(self.population.disabled));
        user.created_at_ms = now_ms;
        if self.draws(self.population.null_user_type) {
            user.user_type = None;
        }
        user
    }

    fn member(&mut self, login: &str, given: &str, surname: &str) -> User {
        let name = self.unused(login, &format!("@{}", self.population.domain));
        let on_premises = self
            .draws(0.5)
            .then(|| format!("{:022x}==", self.rng.u64(..)));
        User {
            mail: (!self.draws(self.population.null_mail)).then(|| name.clone()),
            user_principal_name: Some(name),
            display_name: Some(format!("{given} {surname}")),
            given_name: Some(given.to_owned()),
            surname: Some(surname.to_owned()),
            user_type: Some("Member".to_owned()),
            department: Some(self.pick(&DEPARTMENTS).to_owned()),
            job_title: Some(self.pick(&JOB_TITLES).to_owned()),
            // A leading zero is lost by whoever takes this for a number.
            employee_id: Some(format!("{:07}", 10_000 + self.made)),
            on_premises_immutable_id: on_premises,
            ..User::default()
        }
    }

    fn guest(&mut self) -> User {
        let (given, surname) = (self.pick(&GIVEN), self.pick(&SURNAMES));
        let partner = self.pick(&PARTNERS);
        let label = self.population.domain.split('.').next().unwrap_or_default();
        let tail = format!("_{partner}#EXT#@{label}.onmicrosoft.com");
        let login = format!("{}.{}", given.1, surname.1);
        let name = self.unused(&login, &tail);
        let local = name.strip_suffix(&tail).unwrap_or(&name);
        User {
            mail: Some(format!("{local}@{partner}")),
            user_principal_name: Some(name),
            display_name: Some(format!("{} {} (extern)", given.0, surname.0)),
            user_type: Some("Guest".to_owned()),
            ..User::default()
        }
    }

    fn login(&mut self, given: &str, surname: &str) -> String {
        match self.rng.u8(..10) {
            0 => capitalised(&format!("{given}.{surname}")),
            1 => format!("{given}.{surname}").to_uppercase(),
            2 => format!("{given}+{surname}"),
            3 => format!("{}{surname}", given.chars().take(1).collect::<String>()),
            _ => format!("{given}.{surname}"),
        }
    }

    /// The name itself, or with a number when it was used before.
    fn unused(&mut self, login: &str, tail: &str) -> String {
        let times = self
            .wanted
            .entry(format!("{login}{tail}").to_lowercase())
            .or_default();
        *times += 1;
        match *times {
            1 => format!("{login}{tail}"),
            // The underscore keeps numbered names apart from names that end in a number.
            n => format!("{login}_{n}{tail}"),
        }
    }

    fn draws(&mut self, share: f64) -> bool {
        self.rng.f64() < share
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }
}

/// A version 4 UUID from a seeded generator.
pub(crate) fn random_uuid(rng: &mut Rng) -> Uuid {
    Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid()
}

/// `zoë.müller` as `Zoë.Müller`.
fn capitalised(login: &str) -> String {
    let mut start = true;
    login
        .chars()
        .map(|letter| {
            let written = if start {
                letter.to_uppercase().next().unwrap_or(letter)
            } else {
                letter
            };
            start = matches!(letter, '.' | '-' | '\'');
            written
        })
        .collect()
}
