import '@xyflow/svelte/dist/base.css';
import 'uplot/dist/uPlot.min.css';
import './style.css';

import { mount } from 'svelte';
import App from './App.svelte';

const target = document.getElementById('page');
if (target) mount(App, { target });
