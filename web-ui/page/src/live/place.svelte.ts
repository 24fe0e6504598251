// Where the reader is: a tab and what is selected. Kept in the URL's hash, so that an address can be sent to somebody.

export const TABS = ['graph', 'faults', 'people', 'devices'] as const;
export type Tab = (typeof TABS)[number];
export type Kind = 'node' | 'edge' | 'device' | 'balance' | 'record';
export interface Selected { kind: Kind; id: string }

const KINDS: readonly string[] = ['node', 'edge', 'device', 'balance', 'record'];

class Place {
  tab = $state<Tab>('graph');
  selected = $state.raw<Selected | null>(null);

  constructor() {
    this.read();
    addEventListener('hashchange', () => this.read());
  }

  show(tab: Tab) {
    this.go(tab, this.selected);
  }

  select(kind: Kind, id: string | number) {
    this.go(this.tab, { kind, id: String(id) });
  }

  /** Selects, or closes what is selected already. */
  toggle(kind: Kind, id: string | number) {
    if (this.is(kind, id)) this.close();
    else this.select(kind, id);
  }

  close() {
    this.go(this.tab, null);
  }

  is(kind: Kind, id: string | number): boolean {
    return this.selected?.kind === kind && this.selected.id === String(id);
  }

  private go(tab: Tab, selected: Selected | null) {
    location.hash = selected ? `${tab}/${selected.kind}/${encodeURIComponent(selected.id)}` : tab;
    this.read();
  }

  private read() {
    const [tab = '', kind = '', id = ''] = location.hash.slice(1).split('/');
    this.tab = TABS.find((known) => known === tab) ?? 'graph';
    this.selected = KINDS.includes(kind) && id ? { kind: kind as Kind, id: decodeURIComponent(id) } : null;
  }
}

export const place = new Place();
