/** A table that is updated in place: its rows have keys, its cells are text, a meter, a pill, or a button that opens the rows below. */
import { create, setAttribute, setText, type Tone } from './dom.ts';

export interface Column {
  readonly title: string;
  /** Figures stand right-aligned under each other. */
  readonly number?: true;
  /** On a phone it takes the whole width. */
  readonly span?: true;
}

export type Cell =
  | string
  /** `share` in [0, 1]; the text says it too. */
  | { readonly kind: 'meter'; readonly share: number; readonly text: string; readonly tone?: Tone }
  | { readonly kind: 'pill'; readonly text: string; readonly tone: Tone }
  | { readonly kind: 'expand'; readonly text: string; readonly isOpen: boolean; readonly toggle: () => void };

export interface Row {
  readonly key: string;
  readonly tone?: Tone;
  /** Belongs to the row above it. */
  readonly isInner?: boolean;
  /** The first one is the row's heading. */
  readonly cells: readonly Cell[];
}

export class Table {
  readonly #columns: readonly Column[];
  readonly #table: HTMLTableElement;
  readonly #body: HTMLTableSectionElement;
  readonly #empty: HTMLParagraphElement;
  readonly #rows = new Map<string, HTMLTableRowElement>();

  /** `emptyText` stands in the table's place while it has no rows. */
  constructor(host: HTMLElement, caption: string, columns: readonly Column[], emptyText: string) {
    this.#columns = columns;
    const heading = create('tr');
    for (const { title, number } of columns) {
      const cell = create('th', number ? 'number' : '', title);
      cell.scope = 'col';
      heading.append(withRole(cell, 'columnheader'));
    }
    this.#body = withRole(create('tbody'), 'rowgroup');
    this.#table = withRole(
      create(
        'table',
        '',
        create('caption', '', caption),
        withRole(create('thead', '', withRole(heading, 'row')), 'rowgroup'),
        this.#body,
      ),
      'table',
    );
    this.#empty = create('p', 'empty', emptyText);
    host.append(this.#table, this.#empty);
  }

  show(rows: readonly Row[]): void {
    this.#table.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
    const wanted = new Set(rows.map(({ key }) => key));
    for (const [key, element] of this.#rows) {
      if (wanted.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
    }
    rows.forEach((row, index) => {
      let element = this.#rows.get(row.key);
      if (element === undefined) {
        element = this.#newRow();
        this.#rows.set(row.key, element);
      }
      // Moved only where it stands elsewhere: moving takes the focus away.
      if (this.#body.children[index] !== element) this.#body.insertBefore(element, this.#body.children[index] ?? null);
      setAttribute(element, 'data-tone', row.tone ?? null);
      element.classList.toggle('inner', row.isInner === true);
      for (const [column, cell] of row.cells.entries()) showCell(element.children[column] as HTMLElement, cell);
    });
  }

  #newRow(): HTMLTableRowElement {
    const row = withRole(create('tr'), 'row');
    this.#columns.forEach(({ title, number, span }, index) => {
      const classes = [number ? 'number' : '', span ? 'span' : ''].filter((name) => name !== '').join(' ');
      if (index === 0) {
        const heading = create('th', classes);
        heading.scope = 'row';
        row.append(withRole(heading, 'rowheader'));
        return;
      }
      const cell = withRole(create('td', classes), 'cell');
      cell.dataset['label'] = title;
      row.append(cell);
    });
    return row;
  }
}

/** Said in so many words, because a phone's layout takes the display of a table away, and some browsers its meaning with it. */
function withRole<E extends Element>(element: E, role: string): E {
  element.setAttribute('role', role);
  return element;
}

function showCell(host: HTMLElement, cell: Cell): void {
  if (typeof cell === 'string') {
    // A cell keeps its kind; only its text changes.
    setText(host, cell);
    return;
  }
  switch (cell.kind) {
    case 'meter': {
      const meter = (host.firstElementChild as HTMLElement | null) ?? host.appendChild(newMeter());
      const [track, text] = meter.children as unknown as [HTMLElement, HTMLElement];
      const width = `${(100 * Math.min(1, Math.max(0, cell.share))).toFixed(1)}%`;
      const bar = track.firstElementChild as HTMLElement;
      if (bar.style.width !== width) bar.style.width = width;
      setText(text, cell.text);
      setAttribute(meter, 'data-tone', cell.tone ?? null);
      return;
    }
    case 'pill': {
      const pill = (host.firstElementChild as HTMLElement | null) ?? host.appendChild(create('span', 'pill'));
      setText(pill, cell.text);
      setAttribute(pill, 'data-tone', cell.tone);
      return;
    }
    case 'expand': {
      const button = (host.firstElementChild as HTMLButtonElement | null) ?? host.appendChild(create('button', 'expand'));
      button.type = 'button';
      button.onclick = cell.toggle;
      setText(button, cell.text);
      setAttribute(button, 'aria-expanded', String(cell.isOpen));
      return;
    }
  }
}

function newMeter(): HTMLElement {
  const track = create('i', '', create('i'));
  track.setAttribute('aria-hidden', 'true');
  return create('div', 'meter', track, create('span'));
}
