// Requests that change something. Where the run asks for a token, the page asks for it once, and keeps it as long as this tab is open.

const KEPT = 'eddyline-token';

class Steer {
  /** Whoever waits for the token that is asked for now. */
  waiting = $state.raw<((token: string | null) => void)[]>([]);
  /** Whether the last one was wrong. */
  wrong = $state(false);
  private token = sessionStorage.getItem(KEPT);

  /** Asks the server for something; `null` for a token gives up. */
  async post(path: string, body?: unknown): Promise<Response> {
    const sent = this.token;
    const answer = await fetch(path, {
      method: 'POST',
      headers: sent ? { Authorization: `Bearer ${sent}` } : {},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.status !== 401) return answer;
    // Somebody may have said it while this was under way.
    if (this.token === sent) {
      this.wrong = sent !== null;
      const given = await new Promise<string | null>((say) => (this.waiting = [...this.waiting, say]));
      if (given === null) return answer;
    }
    return this.post(path, body);
  }

  /** Somebody has said the token, or will not. */
  say(token: string | null) {
    if (token) {
      this.token = token;
      sessionStorage.setItem(KEPT, token);
    }
    const waiting = this.waiting;
    this.waiting = [];
    for (const say of waiting) say(token || null);
  }
}

export const steer = new Steer();
