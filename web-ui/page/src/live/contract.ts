// What the server sends: runtime/src/view.rs, and the number of the run.

export type Role = 'source' | 'operator' | 'model' | 'handler' | 'desk' | 'feedback' | 'sink';
export type RunState = 'starting' | 'running' | 'paused' | 'draining' | 'finished' | 'stopped' | 'failed' | 'refused';
export type ByFate = Record<string, number>;

export interface Problem { node: number | null; location: string; what: string; advice: string }

export interface NodeView { id: number; name: string; kind: string; role: Role; location: string; notes: string[] }

export interface EdgeView {
  id: number; from: number; to: number; back: boolean; label: string; type_name: string; capacity: number;
}

export interface GraphView {
  run: number; workflow: string; version: number; nodes: NodeView[]; edges: EdgeView[]; errors: Problem[];
}

export interface Balance { created: number; ended: ByFate; in_flight: number; holds: boolean }

export interface VerdictCounts {
  judged: number; passed: number; replaced: number; retried: number;
  revised: number; appended: number; deleted: number; next_alternative: number;
  split: number; rejected: number; dropped: number; escalated: number; rerouted: number; abstained: number; late: number;
}

export interface ModelCounts { items: number; remembered: number; failed: number; late: number; waiting: number; launches: number }

export interface PeopleCounts { asked: number; answered: number; expired: number; withdrawn: number }

export interface NodeNow {
  records_in: number; records_out: number; ended: ByFate; parked: number; overflow: number; busy_us: number;
  blocked: boolean; done: boolean; paused: boolean; verdicts?: VerdictCounts; latency?: Latency; model?: ModelCounts; people?: PeopleCounts;
}

export interface EdgeNow { records: number; queued: number; most: number }
export interface LoopNow { nodes: number[]; names: string[]; permits: number; used: number; overflow_most: number }
export interface Reason { node: number; kind: string; reason: string; first: string; count: number; advice: string }
export interface Fault { at_us: number; node: number; kind: string; reason: string; record: string; id: string; value: unknown }

/** What happened to a record and to what it was made of: runtime/src/lineage/history.rs. */
export interface History { record: string; lineage: 'off' | 'ids' | 'values'; since_us: number | null; lives: Life[]; left_out: number }
export interface Life { record: string; name: string; is_root: boolean; is_cause: boolean; events: LifeEvent[] }
export type LifeEvent = { at_us: number; node: number; operator: string; value?: unknown; after?: unknown } & What;
export type What =
  | { what: 'entered' | 'taken_in' | 'withdrawn' }
  | { what: 'made'; of: string[] }
  | { what: 'version'; version: number; of: string; because: string }
  | { what: 'went_into'; record: string }
  | { what: 'judged'; verdict: string; why: string; rounds: number | null }
  | { what: 'remembered'; items: number }
  | { what: 'called'; device: string; items: number; launches: number; waited_us: number; ran_us: number }
  | { what: 'failed'; kind: string; reason: string }
  | { what: 'ended'; fate: string };
export interface Latency { calls: number; mean_ns: number; median_ns: number; p99_ns: number; longest_ns: number }

/** A place into which handlers can be put. */
export interface Slot {
  node: number; name: string; handlers: { name: string; parameters: unknown }[];
  filled: { handler: string; parameters: unknown; shadow: boolean; counts: Record<string, number> } | null;
}

/** A fault as the quarantine keeps it; values are cut where they are long. */
export interface Kept {
  id: number; run: number; workflow: string; operator: string; handler: string | null; kind: string; reason: string;
  record: string; origin: string; rounds: number; at_unix_ms: number; type: string; value: unknown;
  roots: { source: string; place: number; value: unknown; replay_of: number | null }[];
  replays: { run: number; fate: string | null }[];
}

/** Where faults are kept beyond the run. */
export interface Store { path: string; run: number; written: number; missing: number; problem: string | null }


/** Values are cut where they are long; a candidate is answered by its place. */
export interface Question {
  node: number; number: number; text: string; value: unknown; candidates: unknown[]; asked_at_us: number; until_us: number;
}

export interface Reservation {
  id: number; from_us: number; until_us: number; model: string; stage: number; batch: number; retries: number;
  state: 'promised' | 'running' | 'done' | 'failed';
}

export interface Device {
  name: string; engine: string; stages: string[]; busy_us: number; items: number; launches: number;
  memory: { weight_bytes: number; call_bytes: number; limit_bytes: number | null };
  problem: Problem | null; reservations: Reservation[];
}

export interface Snapshot {
  run: number; state: RunState; at_us: number;
  balances: { at_us: number; records: Balance; roots: Balance };
  nodes: NodeNow[]; edges: EdgeNow[]; loops: LoopNow[];
  faults: { total: number; by_reason: Reason[]; recent: Fault[]; store?: Store };
  devices: Device[]; hints: Problem[]; stalls: number;
}
