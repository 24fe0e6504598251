// The faults that are kept: fetched while somebody looks at them, by what they are asked for; replayed one, some or all.

import type { Kept } from './contract';
import { steer } from './steer.svelte';

/** What is asked for; empty fields ask for nothing. */
export interface Asked { run: string; operator: string; kind: string; reason: string; replayed: '' | 'true' | 'false' }

/** Faults that are shown at once; the server sends at most 1000. */
export const PAGE = 50;
const EVERY_MS = 1000;

class Quarantine {
  asked = $state<Asked>({ run: '', operator: '', kind: '', reason: '', replayed: '' });
  faults = $state.raw<Kept[]>([]);
  most = $state(PAGE);
  /** Why they cannot be read, or what came of the last replay. */
  wrong = $state('');
  said = $state('');
  private asking = false;
  private last = 0;

  /** Looks again, but not more than once a second unless what is asked for has changed. */
  async look(atOnce = false) {
    const now = Date.now();
    if (this.asking || (!atOnce && now - this.last < EVERY_MS)) return;
    this.asking = true;
    this.last = now;
    try {
      const asked = Object.entries(this.asked).filter(([, value]) => value !== '');
      const query = new URLSearchParams([...asked, ['most', String(this.most)]]);
      const answer = await fetch(`/api/quarantine?${query}`);
      const body = (await answer.json()) as { faults?: Kept[]; what?: string };
      this.wrong = body.what ?? '';
      if (body.faults) this.faults = body.faults;
    } catch {
      // The header says that the server does not answer; what was last known stays.
    } finally {
      this.asking = false;
    }
  }

  /** The whole value of one, pictures as large as they are. */
  async whole(id: number): Promise<unknown> {
    const answer = await fetch(`/api/quarantine/${id}`);
    return ((await answer.json()) as { value?: unknown }).value;
  }

  /** Has these come back into the run; all that fit where none are named. */
  async replay(ids: number[] | null) {
    const { run, replayed, ...texts } = this.asked;
    const given = Object.fromEntries(Object.entries(texts).filter(([, value]) => value !== ''));
    const all = { ...given, ...(run ? { run: Number(run) } : {}), ...(replayed ? { replayed: replayed === 'true' } : {}) };
    this.said = '';
    try {
      const answer = await steer.post('/api/quarantine/replay', ids ? { ids } : all);
      const body = (await answer.json()) as { replayed: number; refused: number; why: [number, string][]; what?: string };
      const first = body.why?.[0];
      const refused = body.refused ? `; ${body.refused} did not come back: ${first?.[1] ?? ''}` : '';
      this.said = body.what ?? `${body.replayed} came back${refused}`;
    } catch {
      this.said = 'The server did not answer; try again once it is back.';
    }
    await this.look(true);
  }
}

export const quarantine = new Quarantine();
