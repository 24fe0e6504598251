// The places into which handlers can be put: fetched while somebody looks at one.

import type { Slot } from './contract';
import { steer } from './steer.svelte';

class Slots {
  all = $state.raw<Slot[]>([]);
  /** Why the last filling was refused. */
  refused = $state('');
  private asking = false;

  async look() {
    if (this.asking) return;
    this.asking = true;
    try {
      const answer = await fetch('/api/slots');
      if (answer.ok) this.all = ((await answer.json()) as { slots: Slot[] }).slots;
    } catch {
      // The header says that the server does not answer; what was last known stays.
    } finally {
      this.asking = false;
    }
  }

  /** Puts a handler there; none takes away what is there. */
  async fill(node: number, handler: string | null, parameters: unknown, shadow: boolean) {
    this.refused = '';
    try {
      const reply = await steer.post(`/api/slots/${node}`, { handler, parameters, shadow });
      if (!reply.ok) this.refused = ((await reply.json()) as { what: string }).what;
    } catch {
      this.refused = 'The server did not answer; try again once it is back.';
    }
    await this.look();
  }
}

export const slots = new Slots();
