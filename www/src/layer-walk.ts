/** Lets one read the cells of a grid: by pointing at them, by sliding over them with a finger, and by arrow keys. One of them is in the order of Tab. */
export function walkable(grid: HTMLElement, onCell: (says: string) => void): void {
  const rows = () => [...grid.children].map((row) => [...row.querySelectorAll<HTMLElement>("[role=gridcell]")]);
  let current = grid.querySelector<HTMLElement>("[role=gridcell]");
  current?.setAttribute("tabindex", "0");

  const show = (cell: HTMLElement) => {
    for (const other of grid.querySelectorAll(".map-shown")) other.classList.remove("map-shown");
    cell.classList.add("map-shown");
    onCell(cell.getAttribute("aria-label") ?? "");
  };
  const cellOf = (target: EventTarget | null) => (target instanceof Element ? target.closest<HTMLElement>("[role=gridcell]") : null);

  // A finger keeps what it first touched as its target.
  const point = ({ clientX, clientY }: PointerEvent) => {
    const cell = cellOf(document.elementFromPoint(clientX, clientY));
    if (cell && grid.contains(cell)) show(cell);
  };
  grid.addEventListener("pointermove", point);
  grid.addEventListener("pointerdown", point);
  grid.addEventListener("focusin", (event) => {
    const cell = cellOf(event.target);
    if (!cell) return;
    current?.setAttribute("tabindex", "-1");
    cell.setAttribute("tabindex", "0");
    current = cell;
    show(cell);
  });
  grid.addEventListener("keydown", (event) => {
    const all = rows();
    const row = all.findIndex((cells) => cells.includes(current!));
    const cells = all[row];
    if (!cells || !current) return;
    const column = cells.indexOf(current);
    const target = {
      ArrowRight: cells[column + 1], ArrowLeft: cells[column - 1], ArrowDown: all[row + 1]?.[column], ArrowUp: all[row - 1]?.[column],
      Home: cells[0], End: cells.at(-1),
    }[event.key];
    if (!target) return;
    event.preventDefault();
    target.focus();
  });
}
