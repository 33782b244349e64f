//! All directions between the hosts of a network, or of the zone, as a matrix: a row is from, a column is to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a line of a matrix is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatrixBy {
    /// A host.
    #[default]
    Host,
    /// The hosts of a rack together: a cell is the worst of their directions.
    Rack,
}

impl MatrixBy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            MatrixBy::Host => "host",
            MatrixBy::Rack => "rack",
        }
    }
}

/// How a direction is, where it is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellState {
    /// What its host said is old, or it said nothing.
    NotKnown,
    /// The tunnel is there, and its bridge does not carry all frames, or only smaller ones.
    Limited,
    /// It is missing, and the one in the other direction is there.
    OneSided,
    /// It is missing, down, or not as it must be.
    Bad,
}

/// A row, and the column of the same place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixLine {
    /// Name of the host, or of the rack; absent for the hosts that are in no rack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many hosts it is.
    pub hosts: u32,
}

/// Cells of one row, side by side, that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixRun {
    /// The row, from 0.
    pub from: u32,
    /// The first column, from 0.
    pub to: u32,
    /// How many columns.
    pub width: u32,
    /// How they are.
    pub state: CellState,
}

/// How many directions between two hosts are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MatrixCount {
    /// All that there must be.
    pub wanted: u64,
    /// As they must be.
    pub proven: u64,
    /// Of which nothing is known.
    pub not_known: u64,
    /// Limited.
    pub limited: u64,
    /// One-sided.
    pub one_sided: u64,
    /// Bad.
    pub bad: u64,
}

/// Answer of `GET /v1/networks/{network}/mesh` and `GET /v1/zone/matrix`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Matrix {
    /// The network; absent where it is of the whole zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What a line is.
    pub by: MatrixBy,
    /// Rows and columns, in their order.
    pub lines: Vec<MatrixLine>,
    /// How many directions between two hosts there are; in the zone's, two hosts count once, whatever they have in common.
    pub count: MatrixCount,
    /// The cells that are not proven. All others are, but for those of lines that have nothing to tunnel to each other.
    pub runs: Vec<MatrixRun>,
    /// How many runs are not listed: the worst 4000 are.
    pub left_off: u32,
    /// Seconds since the sign of life of the connected host that was heard of longest ago; absent where none is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
}
