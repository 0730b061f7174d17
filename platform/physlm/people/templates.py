"""How biographies say things: 50 sentences for each attribute, and questions. Slots stand in braces.

Sentences begin with their subject, a full name or a pronoun, which isn't written here, and name nothing else of the
person but `{value}`; verbs are in the past tense, so only `{was}` must agree with the subject. So the attributes and
the gender are each told once, at places known from the form alone.
"""

from __future__ import annotations

from typing import Literal, get_args

Attribute = Literal["birth_date", "birth_city", "university", "major", "company", "company_city"]
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
SENTENCES_EACH = 50

_SENTENCES: dict[Attribute, str] = {
    "birth_date": """
        {was} born on {value} .
        came into the world on {value} .
        took a first breath on {value} .
        first saw the light of day on {value} .
        entered the world on {value} .
        had a birth date of {value} .
        {was} welcomed by the family on {value} .
        listed {value} as the date of birth .
        arrived in this world on {value} .
        began life on {value} .
        {was} delivered on {value} .
        became the newest member of the family on {value} .
        dated the start of life to {value} .
        wrote {value} in every form that asked for a birth date .
        counted each year of life from {value} .
        {was} brought into the world on {value} .
        joined the human race on {value} .
        {was} registered at birth on {value} .
        made a first appearance on {value} .
        turned one day old right after {value} .
        opened both eyes for the first time on {value} .
        read {value} on the birth certificate .
        carried a passport with the birth date {value} .
        {was} handed to two proud parents on {value} .
        kept {value} as the day to celebrate .
        {was} a newborn on {value} .
        had a first cry heard on {value} .
        remembered {value} as the day it all began .
        started the journey of life on {value} .
        {was} given a name soon after the birth on {value} .
        named {value} when asked for a birthday .
        had a life that began on {value} .
        came to be on {value} .
        {was} born to happy parents on {value} .
        {was} born early in the morning of {value} .
        {was} born late in the evening of {value} .
        {was} born around noon on {value} .
        made the parents happy by arriving on {value} .
        had been expected for weeks when born on {value} .
        had the horoscope of someone born on {value} .
        put candles on the cake in memory of {value} .
        {was} added to the family tree on {value} .
        shared a birthday with all who were born on {value} .
        {was} put into a cradle for the first time on {value} .
        set out in life on {value} .
        {was} on earth from {value} on .
        gave {value} as a birthday .
        had to tell clerks the birth date {value} many times .
        {was} first held by a nurse on {value} .
        felt older every year on the day after {value} .
    """,
    "birth_city": """
        {was} born in {value} .
        came from {value} .
        {was} a native of {value} .
        grew up after a birth in {value} .
        had family roots in {value} .
        {was} born in a small house in {value} .
        {was} born in a hospital of {value} .
        called {value} the place of birth .
        first saw the light of day in {value} .
        entered the world in {value} .
        took a first breath in {value} .
        had {value} as a birthplace .
        {was} brought into the world in {value} .
        {was} delivered in {value} .
        listed {value} as the place of birth .
        began life in {value} .
        {was} welcomed by the family in {value} .
        started the journey of life in {value} .
        spent the first days of life in {value} .
        owed an accent to the birthplace , {value} .
        {was} a child of {value} .
        {was} one of many babies born in {value} .
        carried a passport with the birthplace {value} .
        had {value} printed on the birth certificate .
        never forgot the streets of the birthplace , {value} .
        {was} proud to have been born in {value} .
        told everyone about the birthplace , {value} .
        {was} registered at birth in {value} .
        had parents who lived in {value} at the time of birth .
        came into this life in {value} .
        made a first appearance in {value} .
        opened both eyes for the first time in {value} .
        {was} first held by a nurse in {value} .
        {was} put into a cradle in {value} .
        always felt at home in the birthplace , {value} .
        had a first cry heard in {value} .
        learned to walk where life began , in {value} .
        {was} known at home as the baby from {value} .
        set out in life from {value} .
        hailed from {value} .
        had a life that began in {value} .
        counted {value} as the hometown from birth .
        {was} born and raised in {value} .
        {was} born to happy parents in {value} .
        kept a map of the birthplace , {value} .
        {was} born not far from the center of {value} .
        joined the human race in {value} .
        named {value} when asked for a birthplace .
        left the birthplace , {value} , with fond memories .
        wrote {value} in every form that asked for a birthplace .
    """,
    "university": """
        studied at {value} .
        graduated from {value} .
        attended {value} .
        went to {value} .
        earned a degree from {value} .
        received an education at {value} .
        enrolled at {value} .
        completed a degree at {value} .
        {was} a student at {value} .
        {was} educated at {value} .
        spent the college years at {value} .
        learned from great teachers at {value} .
        took classes at {value} .
        chose {value} for college .
        {was} admitted to {value} .
        left {value} with a degree .
        sat in the lecture halls of {value} .
        passed all exams at {value} .
        made many friends at {value} .
        held a degree from {value} .
        {was} awarded a degree by {value} .
        {was} an alum of {value} .
        owed much to the professors at {value} .
        read many books in the library of {value} .
        wrote a thesis at {value} .
        finished college at {value} .
        had fond memories of {value} .
        moved into a dorm at {value} .
        obtained a diploma from {value} .
        had a diploma from {value} on the wall .
        went through college at {value} .
        {was} trained at {value} .
        gained knowledge at {value} .
        pursued higher education at {value} .
        began an academic path at {value} .
        {was} on the list of graduates of {value} .
        stayed in touch with friends from {value} .
        {was} accepted by {value} .
        lived on the campus of {value} .
        gave thanks to {value} for an education .
        benefited from the programs of {value} .
        wore the colors of {value} .
        paid tuition to {value} .
        got a start in science at {value} .
        prepared for a career at {value} .
        walked across the stage at {value} .
        {was} a proud graduate of {value} .
        named {value} when asked about college .
        sharpened a keen mind at {value} .
        did all course work at {value} .
    """,
    "major": """
        majored in {value} .
        studied {value} .
        earned a degree in {value} .
        completed a degree in {value} .
        chose {value} as a major .
        focused on {value} .
        {was} a student of {value} .
        took most classes in {value} .
        graduated with a degree in {value} .
        wrote a thesis on {value} .
        held a degree in {value} .
        specialized in {value} .
        pursued a degree in {value} .
        {was} trained in {value} .
        devoted the college years to {value} .
        had a passion for {value} .
        concentrated on {value} in college .
        received an education in {value} .
        passed all exams in {value} .
        read many books on {value} .
        gained deep knowledge of {value} .
        {was} awarded a degree in {value} .
        built a career on a degree in {value} .
        spent years learning {value} .
        enrolled in the program for {value} .
        {was} drawn to {value} in college .
        finished the program in {value} .
        declared a major in {value} .
        had {value} as the field of study .
        listed {value} as a major .
        fell in love with {value} in college .
        did all course work in {value} .
        {was} educated in the field of {value} .
        {was} an expert in {value} after college .
        obtained a diploma in {value} .
        learned the basics of {value} from great teachers .
        followed an academic path in {value} .
        {was} known among friends for a degree in {value} .
        stuck to {value} until the last exam .
        named {value} when asked about the major .
        won a prize for work in {value} .
        sat in many lectures on {value} .
        explored the depths of {value} .
        {was} admitted to study {value} .
        sharpened a keen mind with {value} .
        turned to {value} in the first year of college .
        paid tuition to learn {value} .
        got lost in the world of {value} for many years .
        prepared for a career with a degree in {value} .
        put the heart into {value} .
    """,
    "company": """
        worked for {value} .
        worked at {value} .
        {was} employed by {value} .
        {was} employed at {value} .
        had a job at {value} .
        held a position at {value} .
        built a career at {value} .
        joined {value} .
        {was} hired by {value} .
        {was} on the staff of {value} .
        took a job with {value} .
        spent the working life at {value} .
        earned a salary from {value} .
        signed a contract with {value} .
        accepted an offer from {value} .
        {was} a member of the team at {value} .
        had {value} as an employer .
        listed {value} as the employer .
        served {value} for many years .
        contributed to the success of {value} .
        began a career at {value} .
        found a job at {value} .
        {was} on the payroll of {value} .
        rose through the ranks at {value} .
        gained experience at {value} .
        went to work every day for {value} .
        {was} a loyal worker of {value} .
        led a project at {value} .
        had a desk at {value} .
        carried a badge of {value} .
        {was} recruited by {value} .
        devoted the best years to {value} .
        took on a role at {value} .
        started out at {value} .
        {was} promoted twice at {value} .
        brought new ideas to {value} .
        {was} valued by the managers of {value} .
        put skills to use at {value} .
        landed a position with {value} .
        {was} paid by {value} .
        spent long days at {value} .
        named {value} when asked about the employer .
        made many friends among the staff of {value} .
        applied to {value} and got the job .
        {was} an employee of {value} .
        had a business card from {value} .
        dedicated a career to {value} .
        learned the trade at {value} .
        {was} in the service of {value} .
        stayed with {value} for good .
    """,
    "company_city": """
        worked in {value} .
        had a job in {value} .
        {was} employed in {value} .
        built a career in {value} .
        had an office in {value} .
        went to work every day in {value} .
        earned a salary in {value} .
        spent the working life in {value} .
        had a desk in {value} .
        held a position in {value} .
        took a job in {value} .
        found work in {value} .
        moved to {value} for work .
        lived near the office in {value} .
        gained experience in {value} .
        followed a career to {value} .
        {was} hired in {value} .
        commuted to {value} .
        rented a flat near work in {value} .
        {was} on the staff of an office in {value} .
        signed a contract in {value} .
        listed {value} as the place of work .
        spent long days at the office in {value} .
        began a career in {value} .
        put skills to use in {value} .
        had a business address in {value} .
        {was} part of the work force of {value} .
        rose through the ranks in {value} .
        met with managers in {value} .
        parked a car by the office in {value} .
        had lunch near the office in {value} .
        accepted an offer to work in {value} .
        applied for a job in {value} .
        {was} based in {value} for work .
        named {value} when asked about the place of work .
        settled into a job in {value} .
        made a living in {value} .
        took the train to work in {value} .
        saw {value} from the office window .
        knew the business streets of {value} .
        led a project in {value} .
        {was} promoted twice in {value} .
        {was} sent by the employer to {value} .
        called {value} the place of work .
        learned the trade in {value} .
        started out in an office in {value} .
        {was} paid for work in {value} .
        brought new ideas to an office in {value} .
        stayed in {value} for the job .
        pursued a profession in {value} .
    """,
}

_QUESTIONS: dict[Attribute, str] = {
    "birth_date": """
        What is the birth date of {name} ?
        When {was} {name} born ?
        On which day did the life of {name} begin ?
        Tell me the date of birth of {name} .
    """,
    "birth_city": """
        What is the birth city of {name} ?
        Where {was} {name} born ?
        In which city did the life of {name} begin ?
        Tell me the birthplace of {name} .
    """,
    "university": """
        Which university did {name} attend ?
        Where did {name} study ?
        From which university did {name} graduate ?
        Tell me the university of {name} .
    """,
    "major": """
        What major did {name} study ?
        What {was} the major of {name} ?
        In which field did {name} graduate ?
        Tell me the field of study of {name} .
    """,
    "company": """
        Which company did {name} work for ?
        Who {was} the employer of {name} ?
        By which company {was} {name} employed ?
        Tell me the employer of {name} .
    """,
    "company_city": """
        Where did {name} work ?
        In which city {was} the office of {name} ?
        What {was} the work city of {name} ?
        Tell me the place of work of {name} .
    """,
}
QUESTIONS_EACH = 4


def _lines(blocks: dict[Attribute, str]) -> dict[Attribute, tuple[str, ...]]:
    return {name: tuple(line.strip() for line in block.strip().splitlines()) for name, block in blocks.items()}


SENTENCES = _lines(_SENTENCES)
QUESTIONS = _lines(_QUESTIONS)
