// @ts-check
// The output of programs that run side by side, one after another: the one that began first is seen as it prints, the others when it has ended.

/** @param {(text: string) => void} print */
export function outputInTurns(print) {
  /** @type {{ kept: string, ended: boolean }[]} those that are not yet shown to their end, in order */
  const queue = [];

  return {
    /** @param {string} title what it begins with */
    begin(title) {
      const own = { kept: "", ended: false };
      queue.push(own);
      /** @param {string} text */
      const show = (text) => {
        if (queue[0] === own) print(text);
        else own.kept += text;
      };
      show(title);
      return {
        show,
        end() {
          own.ended = true;
          while (queue[0]?.ended) {
            queue.shift();
            if (queue[0]) print(queue[0].kept);
          }
        },
      };
    },
  };
}
