"""Standard radiomics: hand-crafted features of a region of interest, feature selection and Cox regression.

The baseline of Andrearczyk et al. 2021, section 2.4. Features follow the definitions of PyRadiomics 3.0.1 (van
Griethuysen et al. 2017), which differ from the IBSI reference manual (Zwanenburg et al. 2020) where
``docs/explanation/radiomics.md`` says so.
"""
