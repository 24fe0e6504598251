// The last minutes, for the strip below the graph. Kept by the browser; it begins when the page was opened.

import type { Snapshot } from './contract';
import type { Rates } from './rates';

const KEPT_SECONDS = 300;

export class History {
  seconds: number[] = [];
  brought: number[] = [];
  arrived: number[] = [];
  inFlight: number[] = [];
  faults: number[] = [];

  clear() {
    for (const column of this.columns()) column.length = 0;
  }

  add(snapshot: Snapshot, rates: Rates) {
    const at = snapshot.at_us / 1e6;
    if (at <= (this.seconds.at(-1) ?? -1)) return;
    this.seconds.push(at);
    this.brought.push(rates.brought);
    this.arrived.push(rates.arrived);
    this.inFlight.push(snapshot.balances.records.in_flight);
    this.faults.push(rates.faults);
    const old = this.seconds.findIndex((second) => second >= at - KEPT_SECONDS);
    if (old > 0) for (const column of this.columns()) column.splice(0, old);
  }

  private columns() {
    return [this.seconds, this.brought, this.arrived, this.inFlight, this.faults];
  }
}
