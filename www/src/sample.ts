import { LorafoldError } from "lorafold";
import { type Picked, pickFiles } from "./picked.js";

/** What the build writes to sample/manifest.json. */
export interface SampleManifest {
  base: { name: string; files: string[] };
  adapters: { name: string; weight: number; files: string[] }[];
}

/** The bundled sample: a tiny base and its adapters. */
export interface Sample {
  base: Picked;
  adapters: { picked: Picked; weight: number }[];
}

/** Load the sample that comes with the page. */
export async function loadSample(): Promise<Sample> {
  const manifest = (await (await get("sample/manifest.json")).json()) as SampleManifest;
  const folder = async ({ name, files }: { name: string; files: string[] }) => {
    const blobs = await Promise.all(files.map(async (file) => (await get(`sample/${name}/${file}`)).blob()));
    const picked = pickFiles(blobs.map((blob, number) => asFileOf(name, files[number]!, blob)));
    if (!picked) throw new Error(`the sample's folder ${name} is empty`);
    return { ...picked, files: [] };
  };
  const [base, ...adapters] = await Promise.all([manifest.base, ...manifest.adapters].map(folder));
  return { base: base!, adapters: adapters.map((picked, number) => ({ picked, weight: manifest.adapters[number]!.weight })) };
}

function asFileOf(folder: string, name: string, blob: Blob): File {
  return Object.defineProperty(new File([blob], name), "webkitRelativePath", { value: `${folder}/${name}` });
}

async function get(path: string): Promise<Response> {
  const response = await fetch(path).catch((error: Error) => {
    throw new LorafoldError("fetch-failed", `${path}: ${error.message}`, { file: path, detail: error });
  });
  if (!response.ok) throw new LorafoldError("fetch-failed", `${path}: the server answered ${response.status} ${response.statusText}`, { file: path, found: String(response.status) });
  return response;
}
