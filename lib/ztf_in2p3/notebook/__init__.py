"""What a scientist does by hand: look at products, reduce one file, measure own stars, fit an own table.

Everything here is one call of the method with DataFrames at both ends; `import ztf_in2p3 as ztf` has all of it.
"""
