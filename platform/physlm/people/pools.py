"""What persons are made of: names, cities, universities, majors, companies, dates. All made up, none taken from lists.

A pool's entry is a tuple of words; a `|` inside a word shows where it is cut when words are spelt as two tokens.
Names and cities are composed of a stem and an ending, so that a stem tells a part of the word and no more, as with
the sub-word tokens of large vocabularies.
"""

from __future__ import annotations

Entry = tuple[str, ...]

_FIRST = (
    "Al Bel Cor Dar El Fen Gar Hal Is Jor Kel Lor Mar Nor Or Per Ros Sel Tam Ver",
    "a an ard bert da den di don el en eth ia ick ina is lan na o ric win",
)
_MIDDLE = (
    "Amb Bran Cal Dev Em Fred Gwen Hum Ing Jas Kat Len Mil Nad Ol Pat Rand Sand Theod Will",
    "a ah amor ana elle ena er ette ey ian ice ida in ine ira on or ora us y",
)
_LAST = (
    "Ash Bar Black Brad Cald Carl Dun East Fair Farn Gold Grant Green Had Hart Haw Hol Kings Lang Led "
    "Mid Nor Oak Pem Pres Quin Rad Red Rush Shel Stan Stock Sutt Thorn Under Wad Wake West Whit Wood",
    "berg bourne bridge bury by cliff combe croft dale den er field ford gate ham hurst ley low man mere "
    "more ridge ton well worth",
)
_CITY = (
    "Arden Brook Cedar Clear Copper Eagle Fern Glen Harbor Iron Lake Maple Mill Pine River Silver Spring Stone Sun "
    "Winter",
    "burg crest fall grove haven mont port side view ville",
)
_STATES = (
    "AL AZ AR CA CO CT DE FL GA ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC OH OK OR PA TN TX "
    "VA WA WI"
)
_CAMPUS = (
    "Aldermoor Brantwick Calloway Carrow Delmont Dorsten Ellery Elmhurst Fairmount Falkner Garrick Glenmoor "
    "Hadrian Halden Hollins Inverdale Ivorton Jessup Keswick Kirkland Lansdale Larkin Leighton Lorimer Marlowe "
    "Merrow Merton Northam Oakley Ordway Pelham Penrose Quarrie Ravenel Redmoor Rosslyn Sable Selwyn Sheridan "
    "Stirling Talbot Tarrant Thorpe Ullman Vantry Verdon Wexley Whitlock Wyndham Yarrow "
)
_CAMPUS_FORMS = (
    "University of *",
    "* State University",
    "* Institute of Technology",
    "* College",
    "* Polytechnic",
    "* School of Arts",
)
_MAJORS = """
    Accounting, Acoustics, Aerospace Engineering, African Studies, Agronomy, Animal Science, Anthropology, Applied
    Physics, Archaeology, Architecture, Art History, Asian Studies, Astronomy, Astrophysics, Bioethics,
    Biochemistry, Bioinformatics, Biology, Biophysics, Botany, Business Law, Cell Biology, Ceramics, Chemical
    Engineering, Chemistry, Choreography, Civil Engineering, Classics, Climate Science, Cognitive Science,
    Comparative Literature, Computer Engineering, Computer Science, Creative Writing, Criminology, Cryptography,
    Dairy Science, Data Science, Demography, Dentistry, Design, Drama, Earth Science, Ecology, Econometrics,
    Economics, Education, Electrical Engineering, Entomology, Epidemiology, Ethics, European Studies, Fashion
    Design, Film Studies, Finance, Fine Arts, Fluid Mechanics, Folklore, Food Science, Forestry, Game Design,
    Genetics, Geography, Geology, Geophysics, German Studies, Health Policy, Hebrew Studies, History, Horticulture,
    Hydrology, Immunology, Industrial Design, Information Systems, Italian Studies, Journalism, Landscape
    Architecture, Linguistics, Logic, Logistics, Marine Biology, Marketing, Materials Science, Mathematics,
    Mechanical Engineering, Meteorology, Microbiology, Music Theory, Neuroscience, Nursing, Nutrition, Oceanography,
    Optics, Paleontology, Pharmacology, Philosophy, Physics, Political Science, Psychology, Statistics
"""
_COMPANY_STEMS = (
    "Abrivo Altamon Axelby Bantry Belvex Brixo Calvane Corvina Dalloway Deltis Dorvan Ektor Elvaro Fenmark "
    "Fluxton Galvia Gentor Halcor Hexamo Ilvane Jantec Kordell Kyvora Lumacor Luxaro Mantrex Nexoria Norvell "
    "Ombrix Ostara Palvion Perivo Quantus Radanta Rovinex Solvado Stratix Tavento Tridel Ultavo Vantora Vexoly "
    "Wyncor Zentaro "
)
_COMPANY_KINDS = "Systems Foods Energy Motors Capital Media"
_MONTHS = "January February March April May June July August September October November December"
FIRST_YEAR = 1900


def _composed(parts: tuple[str, str], count: int) -> tuple[Entry, ...]:
    """`count` words of a stem and an ending, stems and endings both spread evenly over the beginning of the pool."""
    stems, endings = (part.split() for part in parts)
    return tuple((f"{stems[i % len(stems)]}|{endings[(i + i // len(stems)) % len(endings)]}",) for i in range(count))


def _cities() -> tuple[Entry, ...]:
    states = _STATES.split()
    return tuple((*word, ",", states[7 * i % len(states)]) for i, word in enumerate(_composed(_CITY, 200)))


def _universities() -> tuple[Entry, ...]:
    return tuple(tuple(form.replace("*", campus).split()) for campus in _CAMPUS.split() for form in _CAMPUS_FORMS)


def _companies() -> tuple[Entry, ...]:
    stems, kinds = _COMPANY_STEMS.split(), _COMPANY_KINDS.split()
    return tuple((stems[i // len(kinds)], kinds[i % len(kinds)]) for i in range(263))


FIRST_NAMES = _composed(_FIRST, 400)
MIDDLE_NAMES = _composed(_MIDDLE, 400)
LAST_NAMES = _composed(_LAST, 1000)
MONTHS: tuple[Entry, ...] = tuple((month,) for month in _MONTHS.split())
DAYS: tuple[Entry, ...] = tuple((str(day),) for day in range(1, 29))
YEARS: tuple[Entry, ...] = tuple((f"{year // 100}|{year % 100:02}",) for year in range(FIRST_YEAR, FIRST_YEAR + 200))
CITIES = _cities()
UNIVERSITIES = _universities()
MAJORS: tuple[Entry, ...] = tuple(tuple(major.split()) for major in _MAJORS.split(","))
COMPANIES = _companies()
