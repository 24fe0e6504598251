// The run as this page knows it: listens to the server's events, keeps the last state when the server is gone.

import type { GraphView, PeopleCounts, Problem, Snapshot } from './contract';
import { History } from './history';
import { NO_RATES, ratesBetween, WINDOW_US, type Rates } from './rates';
import { steer } from './steer.svelte';

const RETRY_MS = 2_000;
/** The server sends something at least every ten seconds, if only a comment; snapshots come four times a second. */
const SILENCE_MS = 15_000;

/** Of the questions that were asked, those that wait. */
export const waiting = ({ asked, answered, expired, withdrawn }: PeopleCounts) => asked - answered - expired - withdrawn;

class Feed {
  graph = $state.raw<GraphView | null>(null);
  snapshot = $state.raw<Snapshot | null>(null);
  rates = $state.raw<Rates>(NO_RATES);
  /** Since when the server does not answer; null while it does. */
  goneSince = $state.raw<Date | null>(null);
  /** Whether the server ever answered. */
  met = $state(false);
  /** Grows with every snapshot, for those who draw the history. */
  beat = $state(0);
  readonly history = new History();

  private recent: Snapshot[] = [];
  private events: EventSource | null = null;
  private silence: ReturnType<typeof setTimeout> | undefined;

  over = $derived(['finished', 'stopped', 'failed', 'refused'].includes(this.snapshot?.state ?? ''));

  /** Questions that wait, over all desks. */
  waitingForPeople = $derived(
    (this.snapshot?.nodes ?? []).reduce((sum, { people }) => sum + (people ? waiting(people) : 0), 0),
  );

  connect() {
    this.events?.close();
    const events = new EventSource('/api/events');
    this.events = events;
    events.onopen = () => this.heard();
    events.addEventListener('graph', (event) => this.takeGraph(JSON.parse(event.data) as GraphView));
    events.addEventListener('snapshot', (event) => this.takeSnapshot(JSON.parse(event.data) as Snapshot));
    events.onerror = () => this.lost();
    this.listen();
  }

  nodeName(id: number | null | undefined): string {
    return this.graph?.nodes.find((node) => node.id === id)?.name ?? '';
  }

  /** Errors of the graph and hints, which are the things to act upon. */
  problemsOf(node: number): Problem[] {
    const all = [...(this.graph?.errors ?? []), ...(this.snapshot?.hints ?? [])];
    return all.filter((problem) => problem.node === node);
  }

  async drain() {
    await steer.post('/api/drain');
  }

  /** Has the whole run, or one node, take no input or go on. */
  async hold(what: 'pause' | 'resume', node?: number) {
    const answer = await steer.post(node === undefined ? `/api/${what}` : `/api/nodes/${node}/${what}`);
    if (!answer.ok) throw new Error(((await answer.json()) as { what: string }).what);
  }

  private takeGraph(graph: GraphView) {
    if (this.graph && (graph.run !== this.graph.run || graph.version !== this.graph.version)) {
      this.recent = [];
      this.rates = NO_RATES;
      if (graph.run !== this.graph.run) this.history.clear();
      this.snapshot = null;
    }
    this.graph = graph;
    this.heard();
  }

  private takeSnapshot(snapshot: Snapshot) {
    this.heard();
    if (!this.graph) return;
    // A run that starts its clock again is another one, whatever its number says (the program was started again).
    if ((this.recent.at(-1)?.at_us ?? 0) > snapshot.at_us) {
      this.recent = [];
      this.history.clear();
    }
    this.recent.push(snapshot);
    while ((this.recent[1]?.at_us ?? Infinity) <= snapshot.at_us - WINDOW_US) this.recent.shift();
    const before = this.recent[0];
    this.rates = before ? ratesBetween(before, snapshot, this.graph) : NO_RATES;
    this.snapshot = snapshot;
    if (before && snapshot.at_us - before.at_us >= WINDOW_US / 2) this.history.add(snapshot, this.rates);
    this.beat += 1;
  }

  private heard() {
    this.met = true;
    this.goneSince = null;
    this.listen();
  }

  private listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), SILENCE_MS);
  }

  private lost() {
    this.goneSince ??= new Date();
    this.events?.close();
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.connect(), RETRY_MS);
  }
}

export const feed = new Feed();
