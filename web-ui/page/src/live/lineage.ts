// What happened to a record: fetched when somebody asks, and put into words.

import type { History, LifeEvent } from './contract';
import { duration } from './format';

/** A history, or why there is none. */
export async function historyOf(record: string): Promise<History | string> {
  try {
    const answer = await fetch(`/api/lineage/${encodeURIComponent(record)}`);
    const body = await answer.json();
    if (answer.ok) return body as History;
    const { what, advice } = body as { what: string; advice: string };
    return `${what}: ${advice}`;
  } catch {
    return 'The server did not answer; ask again once it is back.';
  }
}

/** Pieces of a sentence: words, and records that lead to their own part of the history. */
export type Piece = string | { record: string };

export function inWords(event: LifeEvent): Piece[] {
  const several = (records: string[]): Piece[] =>
    records.flatMap((record, nth) => (nth ? [', ', { record }] : [{ record }]));
  switch (event.what) {
    case 'entered':
      return ['came in'];
    case 'made':
      return ['made of ', ...several(event.of)];
    case 'version':
      return [`version ${event.version} of `, { record: event.of }, ', since ', { record: event.because }, ' was sent back'];
    case 'taken_in':
      return ['taken in'];
    case 'went_into':
      return ['went into ', { record: event.record }];
    case 'judged':
      return [event.verdict + (event.rounds ? `, round ${event.rounds}` : '') + (event.why ? `: ${event.why}` : '')];
    case 'called':
      return [`on ${event.device} in a call of ${event.items}, ${duration(event.ran_us)}`];
    case 'remembered':
      return [event.items === 1 ? 'remembered' : `${event.items} items remembered`];
    case 'failed':
      return [event.reason ? `${event.kind}: ${event.reason}` : event.kind];
    case 'ended':
      return [event.fate];
    case 'withdrawn':
      return ['withdrawn after its end'];
  }
}

/** When something happened, to the millisecond: steps are close together. */
export function moment(us: number): string {
  return `${(us / 1e6).toFixed(3)} s`;
}
