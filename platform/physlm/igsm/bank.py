"""Names of things: four chains of four categories, each a container of the next.

A name is a noun, or one of its level's qualifiers and a noun ("Schooner", "Red Schooner"): 20 nouns and 4 qualifiers
give 100 names in each category, as many as the paper's.
"""

from __future__ import annotations

LEVELS = 4

# The level's plural for the questions ("How many Ships ...?"); the first level is never counted.
CATEGORIES: tuple[tuple[str, ...], ...] = (
    ("Regions", "Harbors", "Ships", "Goods"),
    ("Valleys", "Forests", "Trees", "Birds"),
    ("Cities", "Museums", "Rooms", "Gems"),
    ("Colleges", "Workshops", "Containers", "Tools"),
)

QUALIFIERS: tuple[tuple[str, ...], ...] = (
    ("Upper", "Lower", "Northern", "Southern"),
    ("Old", "New", "Grand", "Little"),
    ("Red", "Blue", "Green", "White"),
    ("Fine", "Coarse", "Plain", "Rare"),
)

_NOUNS = """
Ardmoor Belcrest Calder Dunmere Elsworth Farrow Glenmar Hartwick Inverlee Jarrow
Kelso Lorne Marwick Norland Orkhead Penrith Quarley Rosslyn Stanmere Tarvin
Saltmouth Gullhaven Tidewick Seaport Sandquay Anchorage Driftmouth Eastbay Foghaven Galeport
Harborne Keelham Lowtide Mastport Netherquay Oarsby Pierton Rockmouth Stormhaven Wharfdale
Schooner Brig Ketch Sloop Cutter Galleon Clipper Barge Ferry Trawler
Tugboat Yacht Frigate Corvette Dhow Junk Lugger Yawl Caravel Steamer
Pepper Silk Coffee Tea Cotton Sugar Salt Wool Copper Tin
Rice Cocoa Indigo Honey Timber Ginger Cork Wax Flax Hemp

Thornvale Mistvale Greendale Stonedale Larkdale Moorvale Brookdale Windvale Ferndale Goldvale
Icedale Claydale Mossdale Rowandale Silverdale Deepvale Sunvale Harvale Wolfdale Crowdale
Pinewood Oakwood Elmwood Darkwood Birchwood Hazelwood Foxwood Deerwood Bramblewood Kingswood
Ravenwood Maplewood Ashwood Marshwood Thornwood Boarwood Redwood Briarwood Wildwood Larchwood
Oak Birch Maple Cedar Spruce Willow Elm Ash Beech Poplar
Alder Hazel Larch Yew Linden Rowan Hawthorn Juniper Hornbeam Aspen
Sparrow Finch Robin Wren Thrush Owl Heron Crow Jay Magpie
Starling Swallow Kestrel Falcon Dove Lark Nuthatch Woodpecker Siskin Warbler

Arden Brookfield Carlow Denby Eastham Fenwick Garston Halden Ilford Kirkby
Ludlow Morden Newbury Oakham Preston Ripley Selby Tenby Upton Walden
Observatory Planetarium Athenaeum Lyceum Rotunda Pavilion Archive Conservatory Treasury Armory
Arboretum Aquarium Mint Library Citadel Monastery Palace Manor Abbey Mausoleum
Foyer Alcove Parlor Vault Cloister Chapel Cellar Attic Balcony Corridor
Terrace Study Nook Crypt Loft Chamber Salon Vestibule Annex Mezzanine
Ruby Emerald Sapphire Opal Topaz Garnet Amethyst Diamond Pearl Jade
Agate Onyx Quartz Beryl Zircon Turquoise Jasper Amber Peridot Spinel

Ashby Barrow Coleby Dalston Enfield Froxley Goring Holbeck Ivinghoe Kenley
Langford Merton Nesbit Oulton Pelham Rudby Sutton Tilbury Wexcombe Yardley
Forge Foundry Smithy Pottery Bakery Brewery Tannery Weavery Printery Bindery
Joinery Glassworks Sawmill Dyehouse Cooperage Ropewalk Saddlery Tailory Clockworks Creamery
Crate Trunk Basket Drawer Locker Toolbox Barrel Sack Satchel Tray
Shelf Rack Bin Cupboard Casket Pouch Bucket Hamper Suitcase Tub
Hammer Chisel Saw Plane Rasp Pliers Wrench Drill Awl Mallet
Clamp Vise Ruler Trowel Anvil Tongs Needle Shears Punch Spanner
"""

NOUNS_EACH = 20

# NOUNS[chain][level]: 20 nouns, all 320 distinct
NOUNS: tuple[tuple[tuple[str, ...], ...], ...] = tuple(
    tuple(
        tuple(_NOUNS.split()[start : start + NOUNS_EACH])
        for start in range(chain * LEVELS * NOUNS_EACH, (chain + 1) * LEVELS * NOUNS_EACH, NOUNS_EACH)
    )
    for chain in range(len(CATEGORIES))
)

NAMES_EACH = NOUNS_EACH * (1 + len(QUALIFIERS[0]))  # names that a category has at most
