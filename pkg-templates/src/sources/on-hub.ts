/** What addresses of the hub's own pages begin with. */
export const PAGE = /^(?:https?:\/\/)?(?:[^/?#]*@)?(?:www\.)?(?:huggingface\.co|hf\.co)(?=$|[/?#])/i;

/** `org/name`, with a revision or without: no name of a file, and no path from here (`./`, `../`). */
const BARE = /^(?![.@])[\w.-]+\/[\w.-]+(@[^@\s]*)?\/?$/;
const WEIGHTS = /\.(safetensors|bin)$/i;

/** Whether a text is the address of a page of the hub, with `https://` or without. */
export const isHubPage = (text: string): boolean => PAGE.test(text.trim());

/** What follows a mirror's own address on its pages of models: it may serve other things. */
const MODEL = /^\/[\w.-]+\/(?![^/]*\.(?:safetensors|bin)$)[\w.-]+\/?($|[?#]|(tree|blob|resolve|raw|commits?|discussions)($|[/?#]))/;

/** Whether a text is the address of a page of a model on the mirror `endpoint`. */
export const isMirrorPage = (text: string, endpoint: string): boolean => text.startsWith(endpoint) && MODEL.test(text.slice(endpoint.length));

/** Whether a text names something on the hub: `hf://…`, one of its pages, a page of the mirror `endpoint`, or `org/name` alone. */
export function isOnHub(text: string, endpoint: string): boolean {
  return /^hf:\/\//i.test(text) || isHubPage(text) || isMirrorPage(text, endpoint) || (BARE.test(text) && !WEIGHTS.test(text));
}
