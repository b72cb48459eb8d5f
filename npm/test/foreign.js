hit('a script from elsewhere');
