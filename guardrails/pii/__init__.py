"""Personal data: what hyperscan finds as candidates, and who tells whether it is one."""
