import { Room } from "./room.js";
import { Turns } from "./turns.js";

/** What the listings of one call share. */
export interface ListingLimits {
  /** For every request. */
  turns: Turns;
  /** For adapters that come over the network. */
  room: Room;
}

/** By default nothing is kept as a whole. */
export const listingLimits = (heldBytes = 0): ListingLimits => ({ turns: new Turns(), room: new Room(heldBytes) });
